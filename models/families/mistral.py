"""Mistral, Codestral and Devstral in their text-only form."""

from __future__ import annotations

from dovetail.models.families.family import Family

MISTRAL = Family(
    name="mistral",
    architecture="MistralForCausalLM",
    windows="every layer",
    defaults={
        "num_key_value_heads": 8,
        "max_position_embeddings": 131072,
        "sliding_window": 4096,
        "bos_token_id": 1,
        "eos_token_id": 2,
    },
)
