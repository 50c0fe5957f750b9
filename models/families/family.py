"""What a family of decoder-only models may declare. Data only: the one decoder lives in models/decoder.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Bias = Literal["never", "qkv", "all", "as configured"]
"""Which projections add a bias: none, query/key/value, every one, or every one if config.json's switch says so."""

Windows = Literal["never", "every layer", "by layer"]
"""Which layers look only ``sliding_window`` tokens back: none; all, if the number is given; those that ``layer_types``
(or, with ``use_sliding_window``, the index from ``max_window_layers`` up) names."""


@dataclass(frozen=True)
class TensorNames:
    """Names of the tensors in the weight files; ``{i}`` stands for the layer's index."""

    embedding: str = "model.embed_tokens.weight"
    final_norm: str = "model.norm.weight"
    head: str = "lm_head.weight"
    input_norm: str = "model.layers.{i}.input_layernorm.weight"
    post_attention_norm: str = "model.layers.{i}.post_attention_layernorm.weight"
    query: str = "model.layers.{i}.self_attn.q_proj"
    key: str = "model.layers.{i}.self_attn.k_proj"
    value: str = "model.layers.{i}.self_attn.v_proj"
    output: str = "model.layers.{i}.self_attn.o_proj"
    query_norm: str = "model.layers.{i}.self_attn.q_norm.weight"
    key_norm: str = "model.layers.{i}.self_attn.k_norm.weight"
    gate: str = "model.layers.{i}.mlp.gate_proj"
    up: str = "model.layers.{i}.mlp.up_proj"
    down: str = "model.layers.{i}.mlp.down_proj"


@dataclass(frozen=True)
class Family:
    """How one architecture differs from the plain decoder.

    ``defaults``: values of config.json keys that the architecture's own configuration class supplies when the file
    leaves them out. Keys without a default here are required.
    """

    name: str
    architecture: str
    attention_bias: Bias = "never"
    mlp_bias: Bias = "never"
    qk_norm: bool = False
    windows: Windows = "never"
    names: TensorNames = TensorNames()
    defaults: Mapping[str, object] = field(default_factory=dict)
