"""Weights for a GPU: quantised to 8 or 4 bits, whole numbers or 8-bit floats, or kept as they are where every row's result must be the same in any batch.

Knows the layout and what it means (:func:`unpack`); the products are kernels/linear/triton.py's. A matrix is cut into chunks of 128
weights in K; of 4-bit weights, byte ``j`` of a chunk holds weight ``j`` in its low half and weight ``j + 64`` in its high half, so that a tile's
halves multiply two runs of the activations. K is padded to whole chunks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from dovetail.kernels.gpu import on_gpu
from dovetail.kernels.linear.packed import DEFAULT_GROUP, GROUPS, Storage
from dovetail.kernels.linear.reference import round_rows

CHUNK = 128


@dataclass(frozen=True)
class DeviceWeight:
    """A ``[rows, columns]`` matrix on a GPU.

    ``words``: the floats themselves, int8 ``[rows, padded K]``, uint8 ``[rows, padded K / 2]``, or float8_e4m3fn ``[rows, K]``.
    ``scales``, ``offsets``: of every ``group`` weights in K, in the type that is computed in, ``[rows, groups]``; a weight is
    ``scale * q + offset``. 8-bit floats have one float32 scale for each row. ``invariant``: a row's result depends on the row alone.
    """

    storage: Storage | None
    columns: int
    words: Tensor
    compute: torch.dtype
    scales: Tensor | None = None
    offsets: Tensor | None = None
    group: int = CHUNK
    invariant: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.words.shape[0], self.columns

    @property
    def nbytes(self) -> int:
        """Bytes they take, padding included."""
        return sum(part.nbytes for part in (self.words, self.scales, self.offsets) if part is not None)

    @property
    def exact(self) -> bool:
        """Whether it is float32."""
        return self.words.dtype == torch.float32

    def apply(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """``x @ weight.T + bias``."""
        if on_gpu(x):
            from dovetail.kernels.linear.triton import linear

            return linear(x, self, bias)
        return F.linear(x, unpack(self), bias)

    def rows(self, index: Tensor) -> Tensor:
        """Embedding lookup."""
        if self.storage is None:
            return F.embedding(index, self.words)
        scales, offsets = (None if part is None else part[index] for part in (self.scales, self.offsets))
        # As bytes: not every narrow type can be indexed.
        words = self.words.view(torch.uint8)[index].view(self.words.dtype)
        return unpack(replace(self, words=words, scales=scales, offsets=offsets))


def quantise(weight: Tensor, storage: Storage, group: int | None = None) -> DeviceWeight:
    """Store a float matrix in 8 or 4 bits where it is.

    Args:
        weight: ``[rows, columns]``, of the type that is computed in.
        storage: int8 (one scale per group), int4 (scale and offset per group) or fp8 (one scale per row).
        group: weights in K that share a scale; None: 128 and 32.
    """
    if storage == "fp8":
        words, own = round_rows(weight)
        return DeviceWeight(storage, weight.shape[1], words, weight.dtype, own, None, max(1, weight.shape[1]))
    group = group or DEFAULT_GROUP[storage] or CHUNK
    if storage not in ("int8", "int4") or group not in GROUPS:
        raise ValueError(f"{storage} with group {group} is not supported on a GPU")
    rows, columns = weight.shape
    padded = F.pad(weight.float(), (0, -columns % CHUNK)).view(rows, -1, group)
    if storage == "int8":
        scales = (padded.abs().amax(-1) / 127).to(weight.dtype)
        q = torch.round(padded / _nonzero(scales.float()).unsqueeze(-1)).clamp(-127, 127)
        words = q.to(torch.int8).view(rows, -1)
        return DeviceWeight(storage, columns, words, weight.dtype, scales, None, group)
    low, high = padded.amin(-1), padded.amax(-1)
    scales, offsets = ((high - low) / 15).to(weight.dtype), low.to(weight.dtype)
    q = torch.round((padded - offsets.float().unsqueeze(-1)) / _nonzero(scales.float()).unsqueeze(-1)).clamp(0, 15)
    words = _halves(q.to(torch.uint8).view(rows, -1))
    return DeviceWeight(storage, columns, words, weight.dtype, scales, offsets, group)


def store_groups(values: Tensor, scale: Tensor, offset: Tensor, group: int, compute: torch.dtype) -> DeviceWeight:
    """Weights that are 4-bit values with a scale and an offset per group already.

    Args:
        values: uint8 ``[rows, columns]``, 0 to 15.
        scale: ``[rows, groups]``.
        offset: ``[rows, groups]``.
        group: columns that share a scale: 32, 64 or 128.
        compute: the type that is computed in, to which scales and offsets are rounded.
    """
    if group not in GROUPS:
        raise ValueError(f"group {group} is not supported; supported: {', '.join(map(str, GROUPS))}")
    columns = values.shape[1]
    missing = -(-columns // CHUNK) * CHUNK // group - scale.shape[1]
    scales, offsets = (F.pad(each.to(compute), (0, missing)).contiguous() for each in (scale, offset))
    words = _halves(F.pad(values, (0, -columns % CHUNK)))
    return DeviceWeight("int4", columns, words, compute, scales, offsets, group)


def _halves(values: Tensor) -> Tensor:
    """uint8 ``[rows, whole chunks]``, two values in a byte."""
    parts = values.view(values.shape[0], -1, 2, CHUNK // 2)
    return (parts[:, :, 0] | parts[:, :, 1] << 4).reshape(values.shape[0], -1).contiguous()


def unpack(weight: DeviceWeight) -> Tensor:
    """``[rows, columns]`` in the type that is computed in: what the kernel multiplies with."""
    words, rows = weight.words, weight.words.shape[0]
    if weight.storage is None:
        return words
    if weight.storage == "int4":
        pairs = words.view(rows, -1, 1, CHUNK // 2)
        words = torch.cat((pairs & 15, pairs >> 4), dim=2).view(rows, -1)
    assert weight.scales is not None
    values = words.float() * weight.scales.float().repeat_interleave(weight.group, dim=1)
    if weight.offsets is not None:
        values += weight.offsets.float().repeat_interleave(weight.group, dim=1)
    return values[:, : weight.columns].to(weight.compute)


def _nonzero(scales: Tensor) -> Tensor:
    return torch.where(scales == 0, 1.0, scales)
