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


class Layer(Protocol):
    """Pre-normalised attention and gated MLP. ``qkv`` holds query, key and value rows; ``gate_up`` gate rows, then up rows."""

    @property
    def input_norm(self) -> Tensor: ...

    @property
    def qkv(self) -> Projection: ...

    @property
    def query_norm(self) -> Tensor | None: ...

    @property
    def key_norm(self) -> Tensor | None: ...

    @property
    def output(self) -> Projection: ...

    @property
    def post_attention_norm(self) -> Tensor: ...

    @property
    def gate_up(self) -> Projection: ...

    @property
    def down(self) -> Projection: ...


@dataclass(frozen=True)
class StepShape:
    """Sizes and constants that all layers share; ``windows``: how many positions a row of each layer sees, None: all."""

    hidden: int
    heads: int
    kv_heads: int
    width: int
    inner: int
    eps: float
    attention_scale: float
    windows: tuple[int | None, ...]
