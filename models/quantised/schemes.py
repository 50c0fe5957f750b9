"""How quantised checkpoints store one matrix: FP8, integers with scales, and integers packed into words, as AWQ, GPTQ and
compressed-tensors write them. Knows tensors and their names; not which of a model's matrices they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from dovetail.models.errors import ModelDirectoryError
from dovetail.models.quantised.grouped import Grouped

Read = Callable[[str], Tensor]
"""The tensor of this suffix: ``weight``, ``qweight``, ..."""
Headers = Mapping[str, tuple[tuple[int, ...], str]]
"""Shape and type of the tensors that a matrix is stored in, by suffix."""

_AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
"""Which of eight columns each nibble of a word holds, the lowest first."""


class Scheme(Protocol):
    """One matrix ``[rows, columns]`` of a known shape."""

    @property
    def bits(self) -> int: ...

    def tensor(self, read: Read) -> Tensor:
        """float32 ``[rows, columns]``."""
        ...

    def grouped(self, read: Read) -> Grouped | None:
        """Its 4-bit values as they are stored; None: they are something else."""
        ...


@dataclass(frozen=True)
class Scaled:
    """8-bit floats or integers times a scale: of all, of each row, or of blocks of ``block`` rows and columns."""

    scale: str
    block: tuple[int, int]
    bits: int = 8

    def tensor(self, read: Read) -> Tensor:
        """float32 ``[rows, columns]``."""
        weight, scale = read("weight").to(torch.float32), read(self.scale).to(torch.float32)
        if scale.numel() == 1:
            return weight * scale.flatten()
        rows, columns = self.block
        spread = scale.repeat_interleave(rows, 0)[: weight.shape[0]].repeat_interleave(columns, 1)
        return weight * spread[:, : weight.shape[1]]

    def grouped(self, read: Read) -> Grouped | None:
        """They have 8 bits."""
        return None


@dataclass(frozen=True)
class Integers:
    """Integers less a zero point, times a scale of each group of ``group`` columns.

    ``unpacked``: values and zero points, int ``[rows, columns]`` and ``[rows, groups]``, and scales; ``ordered``: columns of a
    group lie side by side; else the tensor ``group_index`` says which group each is of.
    """

    unpacked: Callable[[Read], tuple[Tensor, Tensor, Tensor]]
    bits: int
    group: int
    group_index: str = ""

    def tensor(self, read: Read) -> Tensor:
        """float32 ``[rows, columns]``."""
        values, zeros, scale = self.unpacked(read)
        index = self._index(read, values.shape[1])
        return (values - zeros[:, index]).to(torch.float32) * scale[:, index]

    def grouped(self, read: Read) -> Grouped | None:
        """Its 4-bit values, if columns of a group lie side by side."""
        if self.bits != 4:
            return None
        values, zeros, scale = self.unpacked(read)
        columns = values.shape[1]
        if not torch.equal(self._index(read, columns), self._side_by_side(columns)):
            return None
        return Grouped(values.to(torch.uint8), scale, -zeros.to(torch.float32) * scale, min(self.group, columns))

    def _index(self, read: Read, columns: int) -> Tensor:
        return read(self.group_index).to(torch.int64) if self.group_index else self._side_by_side(columns)

    def _side_by_side(self, columns: int) -> Tensor:
        return torch.arange(columns) // self.group


def unpack_words(words: Tensor, bits: int, dim: int) -> Tensor:
    """int32 words to the unsigned integers in them along ``dim``, the lowest bits first."""
    shifts = torch.arange(0, 32, bits, dtype=torch.int32)
    spread = (words.unsqueeze(dim + 1) >> shifts.view(-1, *(1,) * (words.dim() - dim - 1))) & ((1 << bits) - 1)
    return spread.flatten(dim, dim + 1)


def awq(config: Mapping[str, Any], shape: tuple[int, int], headers: Headers, where: str) -> Scheme:
    """AutoAWQ's GEMM layout."""
    if config.get("version", "gemm") != "gemm" or config.get("bits", config.get("w_bit")) != 4:
        raise ModelDirectoryError(f"{where}: AWQ weights of another kind than 4 bits, gemm are not supported")
    rows, columns = shape
    group = _group(config, columns)
    groups = -(-columns // group)
    _expect(headers, where, qweight=(columns, rows // 8), qzeros=(groups, rows // 8), scales=(groups, rows))
    back = torch.argsort(torch.tensor(_AWQ_ORDER))

    def plain(words: Tensor) -> Tensor:
        return unpack_words(words, 4, 1).view(words.shape[0], -1, 8)[..., back].flatten(1).T

    def unpacked(read: Read) -> tuple[Tensor, Tensor, Tensor]:
        return plain(read("qweight")), plain(read("qzeros")), read("scales").to(torch.float32).T.contiguous()

    return Integers(unpacked, 4, group)


def gptq(config: Mapping[str, Any], shape: tuple[int, int], headers: Headers, where: str) -> Scheme:
    """AutoGPTQ's layout, of either version: in the first, zero points are stored less one."""
    bits = config.get("bits")
    if bits not in (4, 8):
        raise ModelDirectoryError(f"{where}: GPTQ weights of {bits!r} bits are not supported; supported: 4 and 8")
    rows, columns = shape
    group, per_word = _group(config, columns), 32 // bits
    groups = -(-columns // group)
    _expect(
        headers, where, qweight=(columns // per_word, rows), qzeros=(groups, rows // per_word), scales=(groups, rows)
    )
    more = 0 if config.get("checkpoint_format") == "gptq_v2" else 1

    def unpacked(read: Read) -> tuple[Tensor, Tensor, Tensor]:
        values = unpack_words(read("qweight"), bits, 0).T
        zeros = (unpack_words(read("qzeros"), bits, 1).T + more) & ((1 << bits) - 1)
        return values, zeros, read("scales").to(torch.float32).T.contiguous()

    if "g_idx" in headers:
        _expect(headers, where, g_idx=(columns,))
    return Integers(unpacked, bits, group, "g_idx" if "g_idx" in headers else "")


def packed(config: Mapping[str, Any], shape: tuple[int, int], headers: Headers, where: str) -> Scheme:
    """compressed-tensors' pack-quantized layout: values and zero points are stored as unsigned, half the range higher."""
    rows, columns = shape
    words = headers["weight_packed"][0][-1]
    bits = 32 * words // columns if columns else 0
    if bits not in (4, 8):
        raise ModelDirectoryError(f"{where}: packed weights of {bits} bits are not supported; supported: 4 and 8")
    groups = headers.get("weight_scale", ((0, 0), ""))[0][-1]
    _expect(headers, where, weight_packed=(rows, words), weight_scale=(rows, groups))
    if "weight_zero_point" in headers:
        _expect(headers, where, weight_zero_point=(rows * bits // 32, groups))
    group = -(-columns // groups)

    def unpacked(read: Read) -> tuple[Tensor, Tensor, Tensor]:
        values, scale = unpack_words(read("weight_packed"), bits, 1), read("weight_scale").to(torch.float32)
        if "weight_zero_point" in headers:
            return values, unpack_words(read("weight_zero_point"), bits, 0), scale
        return values, torch.full(scale.shape, 1 << (bits - 1), dtype=torch.int32), scale

    return Integers(unpacked, bits, group, "weight_g_idx" if "weight_g_idx" in headers else "")


def eight_bit(config: Mapping[str, Any], shape: tuple[int, int], headers: Headers, where: str) -> Scheme:
    """FP8 or int8 with scales beside it."""
    name = "weight_scale_inv" if "weight_scale_inv" in headers else "weight_scale"
    if name not in headers:
        raise ModelDirectoryError(f"{where}: there are no scales of the weight; copy the file again")
    if "weight_zero_point" in headers:
        raise ModelDirectoryError(f"{where}: 8-bit weights with zero points are not supported")
    rows, columns = shape
    found = headers[name][0]
    if found in ((), (1,), (1, 1)):
        return Scaled(name, (rows, columns))
    given = config.get("weight_block_size") or _block_structure(config)
    block = (int(given[0]), int(given[1])) if given else (1, -(-columns // found[-1]))
    if len(found) != 2 or found != (-(-rows // block[0]), -(-columns // block[1])):
        raise ModelDirectoryError(f"{where}: {name} has shape {list(found)}, which fits no blocks of {list(block)}")
    return Scaled(name, block)


def _block_structure(config: Mapping[str, Any]) -> Any:
    for each in (config.get("config_groups") or {}).values():
        weights = each.get("weights") or {}
        if weights.get("strategy") == "block":
            return weights.get("block_structure")
    return None


def _group(config: Mapping[str, Any], columns: int) -> int:
    size = config.get("group_size", config.get("q_group_size", 128))
    if not isinstance(size, int) or size < -1 or size == 0:
        raise ModelDirectoryError(f"quantization_config: group_size {size!r} is no length")
    return columns if size == -1 else size


def _expect(headers: Headers, where: str, **shapes: tuple[int, ...]) -> None:
    for suffix, shape in shapes.items():
        found = headers.get(suffix)
        if found is None or found[0] != shape:
            said = "missing" if found is None else f"of shape {list(found[0])}"
            raise ModelDirectoryError(f"{where}: {suffix} is {said}, expected {list(shape)}")
