"""Parsing config.json: both generations of its keys, and refusals by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dovetail.models.config import ModelConfig
from dovetail.models.errors import ModelDirectoryError
from dovetail.models.rope_config import RopeConfig

BASE: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_attention_heads": 4,
    "num_hidden_layers": 3,
    "vocab_size": 512,
}


def parse(**changes: Any) -> ModelConfig:
    return ModelConfig.parse({**BASE, **changes}, "config.json")


def test_defaults_of_an_old_llama() -> None:
    config = parse()
    assert (config.num_kv_heads, config.head_dim, config.max_position_embeddings) == (4, 16, 2048)
    assert config.ropes == (RopeConfig(10000.0, 16),) * 3
    assert (config.norm_eps, config.activation, config.experts) == (1e-6, "silu", None)
    assert not (config.qkv_bias or config.output_bias or config.mlp_bias or config.tie_word_embeddings)
    assert (config.query_size, config.kv_size, config.attention_scale) == (64, 64, 0.25)


@pytest.mark.parametrize(
    "keys",
    [
        {"rope_theta": 5e5, "rope_scaling": {"type": "linear", "factor": 2.0}},
        {"rope_theta": 5e5, "rope_scaling": {"rope_type": "linear", "factor": 2}},
        {"rope_parameters": {"rope_type": "linear", "rope_theta": 5e5, "factor": 2.0}},
    ],
)
def test_rope_of_either_generation(keys: dict[str, Any]) -> None:
    rope = parse(**keys).ropes[0]
    assert rope is not None
    assert (rope.type, rope.theta, rope.factor) == ("linear", 5e5, 2.0)


def test_explicit_nulls_mean_defaults() -> None:
    config = parse(rope_scaling=None, rope_parameters=None, num_key_value_heads=None, head_dim=None)
    assert (config.num_kv_heads, config.head_dim, config.ropes[0]) == (4, 16, RopeConfig(10000.0, 16))


@pytest.mark.parametrize(
    ("architecture", "keys", "windows"),
    [
        ("LlamaForCausalLM", {"sliding_window": 9}, (None, None, None)),
        ("MistralForCausalLM", {"num_key_value_heads": 2, "sliding_window": 9}, (9, 9, 9)),
        ("MistralForCausalLM", {"num_key_value_heads": 2, "sliding_window": None}, (None, None, None)),
        ("MistralForCausalLM", {"num_key_value_heads": 2}, (4096, 4096, 4096)),
        ("Qwen2ForCausalLM", {"num_key_value_heads": 2, "sliding_window": 9}, (None, None, None)),
        (
            "Qwen2ForCausalLM",
            {"num_key_value_heads": 2, "sliding_window": 9, "use_sliding_window": True, "max_window_layers": 2},
            (None, None, 9),
        ),
        (
            "Qwen3ForCausalLM",
            {
                "num_key_value_heads": 2,
                "sliding_window": 9,
                "use_sliding_window": True,
                "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
            },
            (9, None, 9),
        ),
    ],
)
def test_windows(architecture: str, keys: dict[str, Any], windows: tuple[int | None, ...]) -> None:
    assert parse(architectures=[architecture], **keys).windows == windows


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        (
            {"architectures": ["GPT2LMHeadModel"]},
            "architecture GPT2LMHeadModel is not supported by Dovetail's own engine, which has GPTBigCodeForCausalLM, Gemma2",
        ),
        ({"architectures": []}, "architectures is missing"),
        ({"architectures": ["GPT2LMHeadModel"]}, "serve --engine vllm"),
        ({"hidden_act": "relu"}, "hidden_act 'relu' is not supported; supported: silu"),
        (
            {"rope_scaling": {"type": "proportional", "factor": 2.0}},
            "rope type 'proportional' is not supported; supported: default, linear",
        ),
        (
            {"rope_parameters": {"rope_type": "longrope", "short_factor": [1.0] * 8, "long_factor": [1.0]}},
            "long_factor must be a list of 8 positive numbers",
        ),
        ({"rope_scaling": {"type": "linear"}}, "rope_parameters: factor is missing"),
        ({"rope_scaling": {"type": "linear", "factor": "two"}}, "factor must be a positive number, found 'two'"),
        ({"rope_scaling": 2.0}, "rope_parameters must be an object"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor 0.5 is not supported"),
        (
            {"architectures": ["Phi3ForCausalLM"], "partial_rotary_factor": 0.2},
            "partial_rotary_factor 0.2 turns 3 of 16 dimensions",
        ),
        ({"architectures": ["GptOssForCausalLM"], "num_key_value_heads": 2}, "num_local_experts is missing"),
        ({"architectures": ["SmolLM3ForCausalLM"], "no_rope_layers": [1, 2, 3]}, "no_rope_layers must be a list of 3"),
        (
            {"architectures": ["GPTBigCodeForCausalLM"], "n_positions": 64, "multi_query": False},
            "multi_query false is not supported",
        ),
        (
            {"architectures": ["Gemma2ForCausalLM"], "use_bidirectional_attention": True},
            "use_bidirectional_attention is not supported",
        ),
        ({"quantization_config": {"quant_method": "exl2"}}, "quantised weights (exl2) are not supported"),
        ({"hidden_size": None}, "hidden_size is missing"),
        ({"hidden_size": "64"}, "hidden_size must be a whole number of at least 1, found '64'"),
        ({"num_hidden_layers": 0}, "num_hidden_layers must be a whole number of at least 1"),
        ({"num_hidden_layers": True}, "num_hidden_layers must be a whole number"),
        ({"num_attention_heads": 5}, "hidden_size 64 is no multiple of num_attention_heads 5"),
        ({"num_key_value_heads": 3}, "num_attention_heads 4 is no multiple of num_key_value_heads 3"),
        ({"head_dim": 7}, "head_dim 7 is odd"),
        ({"tie_word_embeddings": "yes"}, "tie_word_embeddings must be true or false"),
        (
            {
                "architectures": ["Qwen2ForCausalLM"],
                "num_key_value_heads": 4,
                "use_sliding_window": True,
                "layer_types": ["chunked_attention"] * 3,
            },
            "layer_types must be a list of 3 times",
        ),
    ],
)
def test_refusals(keys: dict[str, Any], says: str) -> None:
    with pytest.raises(ModelDirectoryError) as caught:
        parse(**keys)
    assert str(caught.value).startswith("config.json")
    assert says in str(caught.value)


@pytest.mark.parametrize("text", ["[]", "\xff", "{", ""])
def test_damaged_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text, encoding="latin-1")
    with pytest.raises(ModelDirectoryError, match=r"config\.json"):
        ModelConfig.load(tmp_path)
