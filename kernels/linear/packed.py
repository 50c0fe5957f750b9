"""Weights as the kernel reads them: quantised, in panels of 32 outputs, packed into 32-bit words. Plain torch.

Knows the layout (linear.cpp describes it) and how a float matrix becomes one. Does not multiply.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from dovetail.kernels.cpu import huge_pages

Storage = Literal["float32", "bfloat16", "int8", "int4", "fp8"]
"""fp8 is for GPUs only (device.py)."""
STORAGES: tuple[Storage, ...] = ("float32", "bfloat16", "int8", "int4")
PANEL = 32
PER_WORD: dict[Storage, int] = {"float32": 1, "bfloat16": 2, "int8": 4, "int4": 8}
BLOCK: dict[Storage, int] = {"float32": 128, "bfloat16": 256, "int8": 512}
"""Length in K of the partial sums where no group of weights gives it."""
GROUPS = (32, 64, 128)
DEFAULT_GROUP: dict[Storage, int | None] = {"float32": None, "bfloat16": None, "int8": 128, "int4": 32}


@dataclass(frozen=True)
class Packed:
    """A stored ``[rows, columns]`` matrix.

    ``words``: int32 ``[panels, words_k, 32]``. ``params``: int32 ``[panels, groups, 32]``, or None for the float types:
    int8 has the bits of a float32 scale; int4 a bfloat16 scale in the low half and a bfloat16 offset in the high half.
    ``block``: weights in K that share one partial sum; the group's length where there is more than one group.
    """

    storage: Storage
    rows: int
    columns: int
    words: Tensor
    params: Tensor | None
    block: int

    @property
    def nbytes(self) -> int:
        """What it takes, padding included."""
        return self.words.nbytes + (self.params.nbytes if self.params is not None else 0)


def packed_bytes(rows: int, columns: int, storage: Storage) -> int:
    """What :func:`pack` makes of a matrix takes, in bytes, padding included."""
    padded, group = -(-rows // PANEL) * PANEL, DEFAULT_GROUP[storage]
    groups = 0 if group is None else -(-columns // group)
    return 4 * padded * (-(-columns // PER_WORD[storage]) + groups)


def pack(weight: Tensor, storage: Storage, group: int | None = None) -> Packed:
    """Quantise and pack a float matrix.

    Args:
        weight: ``[rows, columns]``, any floating type.
        storage: what a weight becomes.
        group: how many weights in K share a scale: 32, 64 or 128; None for int8: one scale per row.

    Raises:
        ValueError: no such group for this storage.
    """
    if (group is None) if storage == "int4" else (group is not None and storage != "int8"):
        raise ValueError(f"{storage} cannot be stored with group {group}")
    if group is not None and group not in GROUPS:
        raise ValueError(f"group {group} is not supported; supported: {', '.join(map(str, GROUPS))}")
    rows, columns = weight.shape
    per_word = PER_WORD[storage]
    words_k = -(-columns // per_word)
    block = group if group is not None and group < columns else BLOCK.get(storage, group or columns)
    groups = -(-columns // group) if group is not None else 1
    panels = -(-rows // PANEL)
    words = huge_pages.empty((panels, words_k, PANEL), torch.int32)
    params = torch.empty(panels, groups, PANEL, dtype=torch.int32) if storage in ("int8", "int4") else None
    step = max(1, (1 << 22) // (PANEL * words_k * per_word))  # panels at a time: the copies stay below some 16 MiB each
    for first in range(0, panels, step):
        last = min(panels, first + step)
        part = weight[first * PANEL : last * PANEL].to(torch.float32)
        padded = torch.zeros((last - first) * PANEL, words_k * per_word)
        padded[: part.shape[0], :columns] = part
        if params is None:
            values = padded.view(torch.int32) if storage == "float32" else _bfloat16_bits(padded)
        else:
            values, shared = _quantise(padded, columns, storage, group)
            params[first:last] = shared.view(last - first, PANEL, groups).transpose(1, 2)
        words[first:last] = _to_words(values, per_word).view(last - first, PANEL, words_k).transpose(1, 2)
    return Packed(storage, rows, columns, words, params, block)


def unpack(packed: Packed, first: int = 0, end: int | None = None) -> Tensor:
    """Rows ``first`` to ``end`` as float32 ``[end - first, columns]``, exactly what the kernel multiplies with."""
    end = packed.rows if end is None else end
    low, high = first // PANEL, -(-end // PANEL)
    stored = _from_words(
        packed.words[low:high].transpose(1, 2).reshape((high - low) * PANEL, packed.words.shape[1]), packed.storage
    )
    params = None
    if packed.params is not None:
        params = packed.params[low:high].transpose(1, 2).reshape((high - low) * PANEL, packed.params.shape[1])
    values = _scaled(stored, params, packed)
    return values[first - low * PANEL : end - low * PANEL, : packed.columns].contiguous()


def take_rows(packed: Packed, index: Tensor) -> Tensor:
    """Rows by number, as float32 ``[len(index), columns]``: a tied embedding is read from the head this way."""
    if bool(((index < 0) | (index >= packed.rows)).any()):
        raise IndexError(f"row out of range: there are {packed.rows}")
    panel, lane = index // PANEL, index % PANEL
    stored = _from_words(packed.words[panel, :, lane], packed.storage)
    params = packed.params[panel, :, lane] if packed.params is not None else None
    return _scaled(stored, params, packed)[:, : packed.columns]


def _scaled(stored: Tensor, params: Tensor | None, packed: Packed) -> Tensor:
    """``[n, padded columns]`` of stored values to weights; ``params`` ``[n, groups]``."""
    if params is None:
        return stored
    width = packed.block if params.shape[1] > 1 else stored.shape[1]

    def spread(values: Tensor) -> Tensor:
        return values.repeat_interleave(width, dim=1)[:, : stored.shape[1]]

    if packed.storage == "int8":
        return stored * spread(params.view(torch.float32))
    return stored * spread((params << 16).view(torch.float32)) + spread((params & -65536).view(torch.float32))


def _quantise(padded: Tensor, columns: int, storage: Storage, group: int | None) -> tuple[Tensor, Tensor]:
    """int32 stored values like ``padded`` and int32 parameters ``[rows, groups]``. Padding in K is stored as zero weights."""
    rows, width = padded.shape[0], group or padded.shape[1]
    groups = -(-columns // width)
    grouped = torch.zeros(rows, groups * width)
    grouped[:, : padded.shape[1]] = padded[:, : groups * width]
    grouped = grouped.view(rows, groups, width)
    if storage == "int8":
        scale = grouped.abs().amax(2) / 127
        values = _divide(grouped, scale).round_().clamp_(-127, 127)
        shared = scale.view(torch.int32)
    else:
        # Weights of the padding repeat the first, so that they do not widen the range; x is zero there.
        valid = torch.arange(groups * width).view(1, groups, width) < columns
        grouped = torch.where(valid, grouped, grouped[:, :, :1])
        low, high = grouped.amin(2), grouped.amax(2)
        offset = low.to(torch.bfloat16)
        scale = ((high - offset.to(torch.float32)).clamp_(min=0) / 15).to(torch.bfloat16)
        values = (
            _divide(grouped - offset.to(torch.float32).unsqueeze(2), scale.to(torch.float32)).round_().clamp_(0, 15)
        )
        shared = (_int16_bits(offset) << 16) | _int16_bits(scale)
    return values.view(rows, -1)[:, : padded.shape[1]].to(torch.int32), shared


def _divide(values: Tensor, scale: Tensor) -> Tensor:
    """``values / scale`` along the last dimension, 0 where the scale is 0."""
    return values / torch.where(scale == 0, 1.0, scale).unsqueeze(2)


def _bfloat16_bits(values: Tensor) -> Tensor:
    return _int16_bits(values.to(torch.bfloat16))


def _int16_bits(values: Tensor) -> Tensor:
    return values.view(torch.int16).to(torch.int32) & 0xFFFF


def _to_words(values: Tensor, per_word: int) -> Tensor:
    """Consecutive values of a row into words, the first in the low bits."""
    bits = 32 // per_word
    if per_word == 1:
        return values
    mask = (1 << bits) - 1
    parts = values.view(values.shape[0], -1, per_word) & mask
    words = parts[..., 0].clone()
    for j in range(1, per_word):
        words |= parts[..., j] << (bits * j)
    return words


def _from_words(words: Tensor, storage: Storage) -> Tensor:
    """int32 ``[n, words_k]`` to the stored values as float32 ``[n, words_k * per word]``."""
    if storage == "float32":
        return words.view(torch.float32)
    if storage == "bfloat16":
        return torch.stack(((words << 16).view(torch.float32), (words & -65536).view(torch.float32)), dim=2).flatten(1)
    if storage == "int8":
        return torch.stack([words << (24 - 8 * j) >> 24 for j in range(4)], dim=2).flatten(1).to(torch.float32)
    return torch.stack([(words >> (4 * j)) & 15 for j in range(8)], dim=2).flatten(1).to(torch.float32)
