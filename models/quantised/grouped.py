"""Matrices of 4-bit values, groups of which share a scale and an offset: what AWQ, GPTQ and GGUF files hold, and our kernels take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor


@dataclass(frozen=True)
class Grouped:
    """Weights ``values * scale + offset``.

    ``values``: uint8 ``[rows, columns]``, 0 to 15. ``scale`` and ``offset``: float32 ``[rows, groups]``; a group is ``group``
    columns.
    """

    values: Tensor
    scale: Tensor
    offset: Tensor
    group: int

    def dequantised(self) -> Tensor:
        """float32 ``[rows, columns]``."""
        columns = self.values.shape[1]

        def spread(each: Tensor) -> Tensor:
            return each.repeat_interleave(self.group, dim=1)[:, :columns]

        return self.values.to(torch.float32) * spread(self.scale) + spread(self.offset)

    def rows(self, order: Tensor) -> Grouped:
        """The same matrix with its rows in another order."""
        return Grouped(self.values[order], self.scale[order], self.offset[order], self.group)

    @classmethod
    def stacked(cls, parts: Sequence[Grouped]) -> Grouped:
        """Matrices one below the other, all of the same group length."""
        return cls(
            torch.cat([part.values for part in parts]),
            torch.cat([part.scale for part in parts]),
            torch.cat([part.offset for part in parts]),
            parts[0].group,
        )


@runtime_checkable
class QuantisedSource(Protocol):
    """Tensors of which some are stored in few bits; ``tensor`` gives them dequantised."""

    def tensor(self, name: str) -> Tensor:
        """One tensor."""
        ...

    def bits(self, name: str) -> int:
        """About how many bits a weight of this tensor has."""
        ...

    def grouped(self, name: str) -> Grouped | None:
        """The tensor in 4 bits as it is stored; None: it is stored otherwise."""
        ...
