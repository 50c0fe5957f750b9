"""A weight matrix that can be applied to rows and looked up by row. Picks the kernel or torch, once per call by its rows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from dovetail.kernels.cpu.library import instruction_set, library
from dovetail.kernels.linear.packed import DEFAULT_GROUP, STORAGES, Packed, Storage, pack, take_rows, unpack

KERNEL_ROWS = 256
"""The kernel takes up to this many rows; above it, tiles of the weights are dequantised for torch's float32 GEMM, which is
as fast from 256 to 512 rows on (measured: README.md)."""
TILE_BYTES = 8 << 20
"""Size of a dequantised tile."""


class Linear(Protocol):
    """``[rows, columns]`` weights, however they are stored."""

    @property
    def shape(self) -> tuple[int, int]: ...

    @property
    def nbytes(self) -> int:
        """Bytes they take."""
        ...

    @property
    def exact(self) -> bool:
        """Whether both weights and activations are multiplied as float32, in any number of rows."""
        ...

    def apply(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """``[M, columns]`` to ``[M, rows]``."""
        ...

    def rows(self, index: Tensor) -> Tensor:
        """The rows of these numbers, ``[len(index), columns]``, in the type that is computed in."""
        ...


@dataclass(frozen=True)
class DenseWeight:
    """A torch tensor, computed with in its own type; any device."""

    weight: Tensor

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.weight.shape[0], self.weight.shape[1]

    @property
    def nbytes(self) -> int:
        """Bytes it takes."""
        return self.weight.nbytes

    @property
    def exact(self) -> bool:
        """Whether it is float32."""
        return self.weight.dtype == torch.float32

    def apply(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """``x @ weight.T + bias``."""
        return F.linear(x, self.weight, bias)

    def rows(self, index: Tensor) -> Tensor:
        """Embedding lookup."""
        return F.embedding(index, self.weight)


@dataclass(frozen=True)
class PackedWeight:
    """Weights packed for the CPU kernel; activations and results are float32.

    ``invariant``: a row's result is the same bits in any number of rows, which costs prompts their tiles.
    """

    packed: Packed
    invariant: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.packed.rows, self.packed.columns

    @property
    def nbytes(self) -> int:
        """Bytes they take, padding included."""
        return self.packed.nbytes

    @property
    def exact(self) -> bool:
        """Whether it is stored as float32."""
        return self.packed.storage == "float32"

    def apply(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """``x @ weight.T + bias`` in float32, ``x`` float32 on the CPU."""
        native = library()
        if self.invariant and x.shape[0] > self._alike:
            return torch.cat([self.apply(part, bias) for part in torch.split(x, self._alike)])
        if native is None or (x.shape[0] > KERNEL_ROWS and not self._takes_many):
            return self._by_tiles(x, bias)
        if x.stride(1) != 1:
            x = x.contiguous()
        rows, stored = x.shape[0], self.addresses
        out = torch.empty((rows, stored[4]))
        native.dovetail_linear(
            out.data_ptr(),
            x.data_ptr(),
            x.stride(0),
            stored[0],
            stored[1],
            None if bias is None else bias.data_ptr(),
            rows,
            stored[4],
            stored[5],
            stored[2],
            stored[3],
            stored[6],
            torch.get_num_threads(),
        )
        return out

    @property
    def _alike(self) -> int:
        """Rows up to which the kernel's arithmetic is one and the same (README.md)."""
        return 16 if self.packed.storage == "int4" else KERNEL_ROWS

    @property
    def _takes_many(self) -> bool:
        """Whether the kernel is the faster one for any number of rows: on AMX, which has no float32."""
        return self.packed.storage != "float32" and instruction_set() == "amx"

    def rows(self, index: Tensor) -> Tensor:
        """Embedding lookup, float32."""
        native = library()
        if native is None:
            return take_rows(self.packed, index)
        words, params, kind, block, rows, columns, groups = self.addresses
        index = index.contiguous()
        out = torch.empty(len(index), columns)
        if native.dovetail_rows(
            out.data_ptr(), index.data_ptr(), len(index), words, params, rows, columns, kind, block, groups
        ):
            raise IndexError(f"row out of range: there are {rows}")
        return out

    @cached_property
    def addresses(self) -> tuple[int, int | None, int, int, int, int, int]:
        """Addresses and sizes as the kernel wants them."""
        p = self.packed
        params = p.params.data_ptr() if p.params is not None else None
        groups = p.params.shape[1] if p.params is not None else 1
        return p.words.data_ptr(), params, STORAGES.index(p.storage), p.block, p.rows, p.columns, groups

    def _by_tiles(self, x: Tensor, bias: Tensor | None) -> Tensor:
        rows, columns = self.shape
        out = torch.empty((x.shape[0], rows))
        step = max(1, TILE_BYTES // (4 * columns))
        for first in range(0, rows, step):
            end = min(rows, first + step)
            torch.mm(x, self._unpacked(first, end).T, out=out[:, first:end])
        return out if bias is None else out.add_(bias)

    def _unpacked(self, first: int, end: int) -> Tensor:
        native = library()
        if native is None:
            return unpack(self.packed, first, end)
        words, params, kind, block, _, columns, groups = self.addresses
        out = torch.empty(end - first, columns)
        threads = torch.get_num_threads()
        native.dovetail_unpack(out.data_ptr(), words, params, first, end, columns, kind, block, groups, threads)
        return out


def pack_weight(weight: Tensor, storage: Storage, group: int | None = None, *, invariant: bool = False) -> Linear:
    """Store a float matrix on the CPU for computing in float32.

    Args:
        weight: ``[rows, columns]``, any floating type.
        storage: what each weight becomes. float32 stays a plain tensor where there is no kernel that reads it packed.
        group: for int8 and int4, how many weights share a scale; None: 128 and 32.
        invariant: a row's result shall be the same bits in any number of rows.
    """
    if storage == "float32" and library() is None:
        return DenseWeight(weight.to(torch.float32))
    return PackedWeight(pack(weight, storage, group or DEFAULT_GROUP[storage]), invariant)
