"""Llama 2 and 3, and the many code models published in their shape."""

from __future__ import annotations

from dovetail.models.families.family import Family

LLAMA = Family(
    name="llama",
    architecture="LlamaForCausalLM",
    attention_bias="as configured",
    mlp_bias="as configured",
    defaults={"max_position_embeddings": 2048, "bos_token_id": 1, "eos_token_id": 2},
)
