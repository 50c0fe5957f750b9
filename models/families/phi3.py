"""Phi-3, Phi-3.5 and Phi-4 (mini too): fused projections, LongRoPE, heads that are turned in part."""

from __future__ import annotations

from dovetail.models.families.family import Family, TensorNames

PHI3 = Family(
    name="phi3",
    architecture="Phi3ForCausalLM",
    windows="every layer",
    partial_ropes=True,
    names=TensorNames(qkv="model.layers.{i}.self_attn.qkv_proj", gate_up="model.layers.{i}.mlp.gate_up_proj"),
    defaults={
        "max_position_embeddings": 4096,
        "rms_norm_eps": 1e-5,
        "bos_token_id": 1,
        "eos_token_id": 32000,
    },
)
