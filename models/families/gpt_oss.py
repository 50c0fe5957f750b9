"""gpt-oss: experts with biases and a clamped activation, attention sinks, every other layer looks 128 tokens back."""

from __future__ import annotations

from dovetail.models.families.family import ExpertShape, Family, TensorNames
from dovetail.models.fields import Fields


def _experts(fields: Fields) -> ExpertShape:
    return ExpertShape(
        count=fields.integer("num_local_experts"),
        per_token=fields.integer("num_experts_per_tok", 4),
        inner=fields.integer("intermediate_size"),
        layers=frozenset(range(fields.integer("num_hidden_layers"))),
        biased=True,
        stacked=True,
        clamp=(fields.number("swiglu_limit", 7.0), fields.number("swiglu_alpha", 1.702)),
    )


GPT_OSS = Family(
    name="gpt-oss",
    architecture="GptOssForCausalLM",
    attention_bias="as configured",
    windows="by layer type",
    sinks=True,
    experts=_experts,
    quantizations=("mxfp4",),
    names=TensorNames(router="model.layers.{i}.mlp.router"),
    defaults={
        "num_key_value_heads": 8,
        "head_dim": 64,
        "max_position_embeddings": 131072,
        "rms_norm_eps": 1e-5,
        "rope_theta": 150000.0,
        "attention_bias": True,
        "sliding_window": 128,
        "sliding_window_pattern": 2,
    },
)
