"""Granite 3: the Llama shape with constant factors. (Granite-Code is the Llama shape itself, or GPT-BigCode.)"""

from __future__ import annotations

from dovetail.models.families.family import Family, Scales
from dovetail.models.fields import Fields


def _scales(fields: Fields) -> Scales:
    return Scales(
        embedding=fields.number("embedding_multiplier", 1.0),
        residual=fields.number("residual_multiplier", 1.0),
        attention=fields.number("attention_multiplier", 1.0),
        logits=1 / fields.number("logits_scaling", 1.0),
    )


GRANITE = Family(
    name="granite",
    architecture="GraniteForCausalLM",
    attention_bias="as configured",
    mlp_bias="as configured",
    scales=_scales,
    defaults={"max_position_embeddings": 2048, "bos_token_id": 1, "eos_token_id": 2},
)
