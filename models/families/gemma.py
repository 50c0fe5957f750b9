"""Gemma 2 and 3, the text models: norms around every block, soft caps or head norms, layers that look back in turn."""

from __future__ import annotations

from dataclasses import replace

from dovetail.models.errors import ModelDirectoryError
from dovetail.models.families.family import Family, Scales, TensorNames
from dovetail.models.fields import Fields


def _scales(fields: Fields) -> Scales:
    if fields.values.get("use_bidirectional_attention"):
        raise ModelDirectoryError(f"{fields.where}: use_bidirectional_attention is not supported: it cannot be decoded")
    return Scales(
        embedding=fields.integer("hidden_size") ** 0.5,
        attention=fields.number("query_pre_attn_scalar") ** -0.5,
        score_softcap=fields.optional_number("attn_logit_softcapping"),
        logit_softcap=fields.optional_number("final_logit_softcapping"),
    )


_BLOCK = "model.layers.{i}."

GEMMA2 = Family(
    name="gemma2",
    architecture="Gemma2ForCausalLM",
    attention_bias="as configured",
    windows="by layer type",
    norm_offset=1.0,
    activation_key="hidden_activation",
    scales=_scales,
    names=TensorNames(
        attention_added_norm=_BLOCK + "post_attention_layernorm",
        post_attention_norm=_BLOCK + "pre_feedforward_layernorm",
        mlp_added_norm=_BLOCK + "post_feedforward_layernorm",
    ),
    defaults={
        "num_key_value_heads": 4,
        "head_dim": 256,
        "max_position_embeddings": 8192,
        "hidden_activation": "gelu_pytorch_tanh",
        "query_pre_attn_scalar": 256,
        "sliding_window": 4096,
        "sliding_window_pattern": 2,
        "attn_logit_softcapping": 50.0,
        "final_logit_softcapping": 30.0,
        "tie_word_embeddings": True,
    },
)

GEMMA3 = replace(
    GEMMA2,
    name="gemma3",
    architecture="Gemma3ForCausalLM",
    qk_norm=True,
    ropes="by layer type",
    defaults={
        **GEMMA2.defaults,
        "vocab_size": 262208,
        "num_attention_heads": 8,
        "max_position_embeddings": 131072,
        "rope_theta": 1e6,
        "rope_local_base_freq": 10000.0,
        "sliding_window_pattern": 6,
        "attn_logit_softcapping": None,
        "final_logit_softcapping": None,
    },
)
