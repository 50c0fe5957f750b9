"""MXFP4 weights: blocks of 32 four-bit floats that share a power of two. Dequantised as they are read.

Knows the format and its tensors' names (``NAME_blocks``, ``NAME_scales`` for a stacked expert tensor ``NAME``); not what is
computed with them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import torch
from torch import Tensor

from dovetail.models.errors import ModelDirectoryError

BLOCK = 32
"""Weights that share a scale."""
VALUES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0)
"""What the four bits say: a sign, two bits of exponent, one of mantissa."""
BIAS = 127
"""Of the scales' exponents."""


class StoredTensors(Protocol):
    """What is needed of the weight files."""

    def header(self, name: str) -> tuple[tuple[int, ...], str] | None:
        """Shape and type of a tensor as it is stored; None: there is none."""
        ...

    def check(self, expected: Mapping[str, tuple[int, ...]], harmless: Callable[[str], bool]) -> None:
        """Refuse what is missing, of another shape, or unknown."""
        ...

    def tensor(self, name: str) -> Tensor:
        """One tensor."""
        ...

    def part(self, name: str, index: int) -> Tensor:
        """``tensor(name)[index]``."""
        ...


def dequantise(blocks: Tensor, scales: Tensor) -> Tensor:
    """uint8 ``[rows, groups, 16]`` and uint8 ``[rows, groups]`` to float32 ``[rows, groups * 32]``.

    A byte holds two weights, the first in its low half.
    """
    pairs = torch.stack((blocks & 15, blocks >> 4), dim=-1).to(torch.int64).flatten(-2)
    values = torch.tensor(VALUES)[pairs]
    return torch.ldexp(values, (scales.to(torch.int32) - BIAS).unsqueeze(-1)).flatten(-2)


class Mxfp4Files:
    """Weight files in which some stacked tensors ``[experts, columns, rows]`` are stored as blocks and scales.

    Args:
        files: the files.
        where: names them in errors.
    """

    def __init__(self, files: StoredTensors, where: str) -> None:
        self._files, self._where = files, where

    def check(self, expected: Mapping[str, tuple[int, ...]], harmless: Callable[[str], bool]) -> None:
        """As the files do; blocks and scales count as the tensor that they stand for."""
        stored = [name for name in expected if self._files.header(name + "_blocks") is not None]
        for name in stored:
            experts, columns, rows = expected[name]
            shape = (experts, rows, columns // BLOCK)
            if columns % BLOCK:
                raise ModelDirectoryError(
                    f"{self._where}: {name} has {columns} columns, which blocks of {BLOCK} do not fill"
                )
            for suffix, wanted in (("_blocks", (*shape, BLOCK // 2)), ("_scales", shape)):
                found = self._files.header(name + suffix)
                if found != (wanted, "U8"):
                    raise ModelDirectoryError(
                        f"{self._where}: {name}{suffix} should be U8 {list(wanted)}, found {_said(found)}; "
                        "config.json does not belong to these weights"
                    )
        extra = {name + suffix for name in stored for suffix in ("_blocks", "_scales")}
        rest = {name: shape for name, shape in expected.items() if name not in stored}
        self._files.check(rest, lambda name: name in extra or harmless(name))

    def tensor(self, name: str) -> Tensor:
        """One tensor that is not stored as blocks."""
        return self._files.tensor(name)

    def part(self, name: str, index: int) -> Tensor:
        """One expert, ``[columns, rows]`` like those that are stored plainly."""
        if self._files.header(name + "_blocks") is None:
            return self._files.part(name, index)
        return dequantise(self._files.part(name + "_blocks", index), self._files.part(name + "_scales", index)).T


def _said(found: tuple[tuple[int, ...], str] | None) -> str:
    return "no such tensor" if found is None else f"{found[1]} {list(found[0])}"
