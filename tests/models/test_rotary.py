"""Rotary frequencies against transformers' own functions."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from dovetail.models.config import ModelConfig
from dovetail.models.rotary import rotary_frequencies

SHAPE: dict[str, Any] = {
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_attention_heads": 4,
    "num_hidden_layers": 1,
    "vocab_size": 300,
    "max_position_embeddings": 32768,
}
LENGTH = SHAPE["max_position_embeddings"]
YARN = {"rope_type": "yarn", "rope_theta": 1e6, "factor": 4.0, "original_max_position_embeddings": 8192}


@pytest.mark.parametrize(
    "rope",
    [
        {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.5},
        {
            "rope_type": "llama3",
            "rope_theta": 5e5,
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
        },
        YARN,
        {**YARN, "attention_factor": 1.5},
        {**YARN, "beta_fast": 16.0, "beta_slow": 2.0, "truncate": False},
        {**YARN, "mscale": 0.7, "mscale_all_dim": 1.3},
    ],
)
def test_agrees_with_transformers(rope: dict[str, Any]) -> None:
    expected, factor = ROPE_INIT_FUNCTIONS[rope["rope_type"]](LlamaConfig(**SHAPE, rope_parameters=dict(rope)), "cpu")
    values = {**SHAPE, "architectures": ["LlamaForCausalLM"], "rope_parameters": rope}
    ours, our_factor = rotary_frequencies(ModelConfig.parse(values, "config.json").ropes[0], 64, LENGTH)
    torch.testing.assert_close(ours, expected, rtol=1e-6, atol=0)
    assert our_factor == pytest.approx(factor)


def test_plain_frequencies() -> None:
    values = {**SHAPE, "architectures": ["LlamaForCausalLM"], "rope_theta": 1e6}
    ours, factor = rotary_frequencies(ModelConfig.parse(values, "config.json").ropes[0], 64, LENGTH)
    torch.testing.assert_close(ours, 1e6 ** -(torch.arange(0, 64, 2) / 64))
    assert factor == 1.0
