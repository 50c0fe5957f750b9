"""Weights that are 4-bit values with a scale and an offset per group already, as the kernel reads them. Does not quantise."""

from __future__ import annotations

import torch
from torch import Tensor

from dovetail.kernels.cpu import huge_pages
from dovetail.kernels.linear.packed import GROUPS, PANEL, PER_WORD, Packed
from dovetail.kernels.linear.weight import Linear, PackedWeight

_PANELS_AT_ONCE = 64
_PER_WORD = PER_WORD["int4"]


def pack_groups(values: Tensor, scale: Tensor, offset: Tensor, group: int) -> Linear:
    """Store ``values * scale + offset`` on the CPU, scales and offsets rounded to bfloat16.

    Args:
        values: uint8 ``[rows, columns]``, 0 to 15.
        scale: ``[rows, groups]``.
        offset: ``[rows, groups]``.
        group: columns that share a scale: 32, 64 or 128.

    Raises:
        ValueError: no such group.
    """
    if group not in GROUPS:
        raise ValueError(f"group {group} is not supported; supported: {', '.join(map(str, GROUPS))}")
    rows, columns = values.shape
    groups, panels, words_k = scale.shape[1], -(-rows // PANEL), -(-columns // _PER_WORD)
    words = huge_pages.empty((panels, words_k, PANEL), torch.int32)
    params = torch.empty(panels, groups, PANEL, dtype=torch.int32)
    shared = (_bits(offset) << 16) | _bits(scale)
    for first in range(0, panels, _PANELS_AT_ONCE):
        last = min(panels, first + _PANELS_AT_ONCE)
        part = values[first * PANEL : last * PANEL]
        padded = torch.zeros((last - first) * PANEL, words_k * _PER_WORD, dtype=torch.int32)
        padded[: part.shape[0], :columns] = part
        words[first:last] = _words(padded).view(last - first, PANEL, words_k).transpose(1, 2)
        own = torch.zeros((last - first) * PANEL, groups, dtype=torch.int32)
        own[: part.shape[0]] = shared[first * PANEL : last * PANEL]
        params[first:last] = own.view(last - first, PANEL, groups).transpose(1, 2)
    return PackedWeight(Packed("int4", rows, columns, words, params, group))


def _bits(values: Tensor) -> Tensor:
    return values.to(torch.bfloat16).view(torch.int16).to(torch.int32) & 0xFFFF


def _words(values: Tensor) -> Tensor:
    """Eight consecutive values of a row in a word, the first in the low bits."""
    parts = values.view(values.shape[0], -1, _PER_WORD)
    words = parts[..., 0].clone()
    for j in range(1, _PER_WORD):
        words |= parts[..., j] << (4 * j)
    return words
