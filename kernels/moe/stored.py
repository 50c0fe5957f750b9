"""The matrices of all experts of a layer in few bits, one below the other. Knows the layout; the products are the kernels'."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from dovetail.kernels.linear.device import DeviceWeight, quantise, unpack
from dovetail.kernels.linear.packed import Storage


@dataclass(frozen=True)
class StoredExperts:
    """``[E, N, K]`` as ``weight`` of ``E * N`` rows."""

    weight: DeviceWeight
    count: int

    def __len__(self) -> int:
        return self.count

    @property
    def shape(self) -> tuple[int, int, int]:
        """Experts, outputs, columns."""
        rows, columns = self.weight.shape
        return self.count, rows // self.count, columns

    @property
    def nbytes(self) -> int:
        """Bytes they take."""
        return self.weight.nbytes

    @property
    def dtype(self) -> torch.dtype:
        """What is computed in."""
        return self.weight.compute

    def __getitem__(self, expert: int) -> Tensor:
        """One expert's matrix, as floats."""
        outputs = self.shape[1]
        return self.weight.rows(torch.arange(expert * outputs, (expert + 1) * outputs, device=self.weight.words.device))

    def unpacked(self) -> Tensor:
        """All of them."""
        return unpack(self.weight).view(self.shape)

    @classmethod
    def stacked(cls, parts: Sequence[DeviceWeight]) -> StoredExperts:
        """One below the other; all are stored alike."""

        def joined(each: Sequence[Tensor | None]) -> Tensor | None:
            known = [part for part in each if part is not None]
            if not known:
                return None
            # As bytes: not every narrow type can be joined.
            return torch.cat([part.view(torch.uint8) for part in known]).view(known[0].dtype)

        words = joined([part.words for part in parts])
        assert words is not None
        scales, offsets = joined([part.scales for part in parts]), joined([part.offsets for part in parts])
        return cls(replace(parts[0], words=words, scales=scales, offsets=offsets), len(parts))


def quantise_experts(weight: Tensor, storage: Storage) -> StoredExperts:
    """Store ``[E, N, K]`` in few bits, expert by expert: one at a time is held as floats."""
    return StoredExperts.stacked([quantise(each, storage) for each in weight])
