"""SmolLM3: the Llama shape, in which every fourth layer turns nothing by its position."""

from __future__ import annotations

from dovetail.models.families.family import Family

SMOLLM3 = Family(
    name="smollm3",
    architecture="SmolLM3ForCausalLM",
    attention_bias="as configured",
    mlp_bias="as configured",
    windows="if switched on",
    ropes="listed layers",
    defaults={
        "num_key_value_heads": 4,
        "max_position_embeddings": 32768,
        "rope_theta": 2e6,
        "no_rope_layer_interval": 4,
        "tie_word_embeddings": True,
    },
)
