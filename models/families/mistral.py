"""Mistral, Codestral and Devstral; Ministral 3 and Devstral 2, whose scores grow with the position."""

from __future__ import annotations

from dataclasses import replace

from dovetail.models.families.family import Family, Scales
from dovetail.models.fields import Fields

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


def _scales(fields: Fields) -> Scales:
    given = fields.values.get("rope_parameters")
    if not isinstance(given, dict):
        raise fields.wrong("rope_parameters", "an object")
    rope = Fields(given, f"{fields.where}: rope_parameters")
    beta = rope.optional_number("llama_4_scaling_beta")
    return Scales(growth=None if beta is None else (beta, rope.integer("original_max_position_embeddings")))


MINISTRAL3 = replace(
    MISTRAL,
    name="ministral3",
    architecture="Ministral3ForCausalLM",
    scales=_scales,
    defaults={
        **MISTRAL.defaults,
        "head_dim": 128,
        "max_position_embeddings": 262144,
        "rms_norm_eps": 1e-5,
        "sliding_window": None,
    },
)
