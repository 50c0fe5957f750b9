"""What the one-call decoder needs to know of a layer. Knows no model and no file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from dovetail.kernels.linear.weight import Linear


class Projection(Protocol):
    """``x @ weight.T + bias``."""

    @property
    def weight(self) -> Linear: ...

    @property
    def bias(self) -> Tensor | None: ...


@dataclass(frozen=True)
class StepLayer:
    """Pre-normalised attention and gated SiLU MLP. ``qkv`` holds query, key and value rows; ``gate_up`` gate rows, then up rows.

    ``window``: how many positions a row sees, None: all; ``angles``: the number of the table its queries and keys are turned by.
    """

    input_norm: Tensor
    qkv: Projection
    query_norm: Tensor | None
    key_norm: Tensor | None
    output: Projection
    post_attention_norm: Tensor
    gate_up: Projection
    down: Projection
    window: int | None
    angles: int


@dataclass(frozen=True)
class StepShape:
    """Sizes and constants that all layers share. ``residual_scale``: on what a block adds; ``tables``: of angles."""

    hidden: int
    heads: int
    kv_heads: int
    width: int
    inner: int
    eps: float
    attention_scale: float
    residual_scale: float
    tables: int
