"""Qwen3 with experts: Qwen3-30B-A3B, Qwen3-Coder-30B-A3B and the larger ones."""

from __future__ import annotations

from dovetail.models.families.family import ExpertShape, Family
from dovetail.models.fields import Fields


def _experts(fields: Fields) -> ExpertShape:
    layers, step = fields.integer("num_hidden_layers"), fields.integer("decoder_sparse_step", 1)
    dense = fields.values.get("mlp_only_layers") or []
    if not isinstance(dense, list) or not all(isinstance(each, int) for each in dense):
        raise fields.wrong("mlp_only_layers", "a list of layer numbers")
    return ExpertShape(
        count=fields.optional_integer("num_local_experts") or fields.integer("num_experts"),
        per_token=fields.integer("num_experts_per_tok"),
        inner=fields.integer("moe_intermediate_size"),
        layers=frozenset(layer for layer in range(layers) if layer not in dense and (layer + 1) % step == 0),
        normalised=fields.flag("norm_topk_prob"),
    )


QWEN3_MOE = Family(
    name="qwen3-moe",
    architecture="Qwen3MoeForCausalLM",
    attention_bias="as configured",
    qk_norm=True,
    windows="every layer if switched on",
    experts=_experts,
    defaults={
        "num_key_value_heads": 4,
        "max_position_embeddings": 32768,
        "sliding_window": 4096,
        "moe_intermediate_size": 768,
        "num_experts_per_tok": 8,
        "num_experts": 128,
        "norm_topk_prob": False,
    },
)
