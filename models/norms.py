"""The two normalisations of the families, with or without the residual addition before them. Knows no layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch.nn.functional as F
from torch import Tensor

from dovetail.kernels.ops import add_rms_norm, rms_norm


class Norm(Protocol):
    """Normalises rows ``[T, N]``."""

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """What it holds."""
        ...

    def apply(self, x: Tensor) -> Tensor:
        """The rows normalised."""
        ...

    def add(self, x: Tensor, delta: Tensor) -> tuple[Tensor, Tensor]:
        """``x + delta``, and that normalised: what stands between two blocks of a layer."""
        ...


@dataclass(frozen=True)
class RmsNorm:
    """Scales rows to unit root mean square, then by ``weight``."""

    weight: Tensor
    eps: float

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The weight."""
        return (self.weight,)

    def apply(self, x: Tensor) -> Tensor:
        """See kernels/rms_norm."""
        return rms_norm(x, self.weight, self.eps)

    def add(self, x: Tensor, delta: Tensor) -> tuple[Tensor, Tensor]:
        """See kernels/rms_norm."""
        return add_rms_norm(x, delta, self.weight, self.eps)


@dataclass(frozen=True)
class LayerNorm:
    """Moves rows to mean 0 and variance 1, then scales and moves them by ``weight`` and ``bias``."""

    weight: Tensor
    bias: Tensor
    eps: float

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """Weight and bias."""
        return self.weight, self.bias

    def apply(self, x: Tensor) -> Tensor:
        """torch's."""
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)

    def add(self, x: Tensor, delta: Tensor) -> tuple[Tensor, Tensor]:
        """The sum, and that normalised."""
        total = x + delta
        return total, self.apply(total)
