"""Every family against transformers: logit for logit, and the same greedy continuation."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import write_tiny_checkpoint
from torch import Tensor
from transformers import AutoModelForCausalLM

from dovetail.models.loader import load_model

TOLERANCE = 1e-4

VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {}),
    "llama, biases, tied": (
        "llama",
        {"tie_word_embeddings": True, "config": {"attention_bias": True, "mlp_bias": True}},
    ),
    "llama, one key head": ("llama", {"kv_heads": 1, "config": {"rms_norm_eps": 1e-3}}),
    "llama, llama3 rope, old keys": (
        "llama",
        {
            "config": {
                "rope_parameters": None,
                "rope_theta": 500.0,
                "rope_scaling": {
                    "rope_type": "llama3",
                    "factor": 8.0,
                    "low_freq_factor": 1.0,
                    "high_freq_factor": 4.0,
                    "original_max_position_embeddings": 64,
                },
            }
        },
    ),
    "llama, linear rope": (
        "llama",
        {"config": {"rope_parameters": {"rope_type": "linear", "factor": 3.0, "rope_theta": 1000.0}}},
    ),
    "mistral": ("mistral", {}),
    "mistral, window": ("mistral", {"config": {"sliding_window": 7}}),
    "mistral, wide heads": ("mistral", {"head_dim": 32, "layers": 1}),
    "qwen2": ("qwen2", {"tie_word_embeddings": True}),
    "qwen2, window from layer 1": (
        "qwen2",
        {"config": {"use_sliding_window": True, "sliding_window": 6, "max_window_layers": 1}},
    ),
    "qwen2, window by layer type": (
        "qwen2",
        {
            "config": {
                "use_sliding_window": True,
                "sliding_window": 5,
                "layer_types": ["sliding_attention", "full_attention"],
            }
        },
    ),
    "qwen2, window switched off": ("qwen2", {"config": {"use_sliding_window": False, "sliding_window": 3}}),
    "qwen2, yarn": (
        "qwen2",
        {
            "config": {
                "rope_parameters": {
                    "rope_type": "yarn",
                    "factor": 4.0,
                    "original_max_position_embeddings": 32,
                    "rope_theta": 10000.0,
                },
                "max_position_embeddings": 128,
            }
        },
    ),
    "qwen3": ("qwen3", {"head_dim": 32}),
    "qwen3, biases, tied, sharded": (
        "qwen3",
        {"sharded": True, "tie_word_embeddings": True, "config": {"attention_bias": True}},
    ),
}


def reference(directory: Path) -> Callable[[list[int]], Tensor]:
    """``[len, vocab]`` logits of a whole sequence, by transformers."""
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
    model.eval()

    @torch.no_grad()
    def logits(tokens: list[int]) -> Tensor:
        found: Tensor = model(torch.tensor([tokens]), use_cache=False).logits[0]
        return found

    return logits


@pytest.mark.parametrize("variant", VARIANTS)
def test_agrees_with_transformers(variant: str, tmp_path: Path, paged_runner: Callable[..., Any]) -> None:
    family, shape = VARIANTS[variant]
    directory = write_tiny_checkpoint(tmp_path, family, **shape)
    expected = reference(directory)
    model = load_model(directory)
    draw = random.Random(1)
    sequences = {s: [draw.randrange(512) for _ in range(length)] for s, length in enumerate((40, 23, 9, 31))}
    wanted = {s: expected(tokens) for s, tokens in sequences.items()}

    prefill = paged_runner(model).step({0: sequences[0]})[0]
    torch.testing.assert_close(prefill, wanted[0], atol=TOLERANCE, rtol=0)

    runner = paged_runner(model, block_size=3, seed=2)
    done = dict.fromkeys(sequences, 0)
    while any(done[s] < len(tokens) for s, tokens in sequences.items()):
        chunks = {}
        for s, tokens in sequences.items():
            size = draw.choice((0, 1, 1, 4, 11))
            if size and done[s] < len(tokens):
                chunks[s] = tokens[done[s] : done[s] + size]
        for s, logits in (runner.step(chunks) if chunks else {}).items():
            torch.testing.assert_close(logits, wanted[s][done[s] : done[s] + len(logits)], atol=TOLERANCE, rtol=0)
            done[s] += len(logits)


@pytest.mark.parametrize("variant", ["llama", "mistral, window", "qwen2, window from layer 1", "qwen3"])
def test_same_greedy_continuation(variant: str, tmp_path: Path, paged_runner: Callable[..., Any]) -> None:
    family, shape = VARIANTS[variant]
    directory = write_tiny_checkpoint(tmp_path, family, seed=3, **shape)
    expected = reference(directory)
    prompts = {0: [5, 6, 7, 8, 9, 10, 11, 12, 13], 1: [100], 2: [300, 301]}
    runner = paged_runner(load_model(directory))
    outputs = {s: [int(logits[-1].argmax())] for s, logits in runner.step(prompts).items()}
    for _ in range(11):
        for s, logits in runner.step({s: [tokens[-1]] for s, tokens in outputs.items()}).items():
            outputs[s].append(int(logits[-1].argmax()))
    for s, prompt in prompts.items():
        tokens = list(prompt)
        for _ in range(12):
            tokens.append(int(expected(tokens)[-1].argmax()))
        assert outputs[s] == tokens[len(prompt) :]
    distinct = {token for tokens in outputs.values() for token in tokens}
    assert len(distinct) > 12, "a degenerate continuation proves little"


def test_a_rejected_draft_leaves_no_trace(tmp_path: Path, paged_runner: Callable[..., Any]) -> None:
    directory = write_tiny_checkpoint(tmp_path)
    expected = reference(directory)
    runner = paged_runner(load_model(directory))
    prompt = list(range(40, 53))
    runner.step({0: prompt, 1: [1, 2]})
    runner.step({0: [7, 8, 9, 10, 11]})
    runner.rewind(0, len(prompt) + 1)
    logits = runner.step({1: [3], 0: [20, 21]})[0]
    torch.testing.assert_close(logits, expected([*prompt, 7, 20, 21])[-2:], atol=TOLERANCE, rtol=0)
