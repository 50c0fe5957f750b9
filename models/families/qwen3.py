"""Qwen3, dense."""

from __future__ import annotations

from dovetail.models.families.family import Family

QWEN3 = Family(
    name="qwen3",
    architecture="Qwen3ForCausalLM",
    attention_bias="as configured",
    qk_norm=True,
    windows="if switched on",
    defaults={
        "num_key_value_heads": 32,
        "head_dim": 128,
        "max_position_embeddings": 32768,
        "sliding_window": 4096,
        "max_window_layers": 28,
    },
)
