"""Qwen2 and Qwen2.5 (Coder included)."""

from __future__ import annotations

from dovetail.models.families.family import Family

QWEN2 = Family(
    name="qwen2",
    architecture="Qwen2ForCausalLM",
    attention_bias="qkv",
    windows="if switched on",
    defaults={
        "num_key_value_heads": 32,
        "max_position_embeddings": 32768,
        "sliding_window": 4096,
        "max_window_layers": 28,
    },
)
