"""What numbers the blocks of GGUF tensors stand for. Knows no file.

Formats as ggml's sources define them; every one is compared with the gguf package in the tests.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from dovetail.models.quantised.grouped import Grouped


def _half(raw: Tensor) -> Tensor:
    """uint8 ``[..., 2 n]`` to float32 ``[..., n]``."""
    return raw.contiguous().view(torch.float16).to(torch.float32)


def _flat(blocks: Tensor) -> Tensor:
    """``[rows, blocks, weights]`` to ``[rows, columns]``."""
    return blocks.flatten(1)


def _q8_0(raw: Tensor) -> Tensor:
    return _flat(raw[..., 2:].contiguous().view(torch.int8).to(torch.float32) * _half(raw[..., :2]))


def _nibbles(raw: Tensor) -> Tensor:
    """Low halves first, then high ones."""
    return torch.cat((raw & 15, raw >> 4), dim=-1)


def _q4_0(raw: Tensor) -> Grouped:
    scale = _half(raw[..., :2])[..., 0]
    return Grouped(_flat(_nibbles(raw[..., 2:])), scale, -8 * scale, 32)


def _q4_1(raw: Tensor) -> Grouped:
    shared = _half(raw[..., :4])
    return Grouped(_flat(_nibbles(raw[..., 4:])), shared[..., 0], shared[..., 1], 32)


def _scales(raw: Tensor) -> tuple[Tensor, Tensor]:
    """The eight 6-bit scales and minima of a K block, float32 ``[rows, blocks, 8]`` each."""
    first, second, third = raw[..., :4], raw[..., 4:8], raw[..., 8:12]
    scale = torch.cat((first & 63, (third & 15) | ((first >> 6) << 4)), dim=-1)
    least = torch.cat((second & 63, (third >> 4) | ((second >> 6) << 4)), dim=-1)
    return scale.to(torch.float32), least.to(torch.float32)


def _q4_k(raw: Tensor) -> Grouped:
    shared = _half(raw[..., :4])
    scale, least = _scales(raw[..., 4:16])
    values = raw[..., 16:].reshape(*raw.shape[:2], 4, 32)  # each 32 bytes hold two sub-blocks
    values = torch.stack((values & 15, values >> 4), dim=-2).flatten(2)
    return Grouped(_flat(values), _flat(shared[..., :1] * scale), _flat(-shared[..., 1:] * least), 32)


def _q6_k(raw: Tensor) -> Tensor:
    low = raw[..., :128].reshape(*raw.shape[:2], 2, 2, 32)
    high = raw[..., 128:192].reshape(*raw.shape[:2], 2, 1, 32)
    shifts = torch.tensor([0, 2, 4, 6], dtype=torch.uint8).view(4, 1)
    values = torch.cat((low & 15, low >> 4), dim=-2) | (((high >> shifts) & 3) << 4)
    scale = raw[..., 192:208].contiguous().view(torch.int8).to(torch.float32) * _half(raw[..., 208:])
    signed = values.flatten(2).to(torch.float32) - 32
    return _flat((signed.view(*raw.shape[:2], 16, 16) * scale.unsqueeze(-1)).flatten(2))


GROUPED: dict[str, Callable[[Tensor], Grouped]] = {"Q4_0": _q4_0, "Q4_1": _q4_1, "Q4_K": _q4_k}
"""uint8 ``[rows, blocks, bytes of a block]`` to 4-bit values as they are stored, by the format's name."""

_FLOATS: dict[str, Callable[[Tensor], Tensor]] = {
    "F32": lambda raw: _flat(raw.contiguous().view(torch.float32)),
    "F16": lambda raw: _flat(raw.contiguous().view(torch.float16)),
    "BF16": lambda raw: _flat(raw.contiguous().view(torch.bfloat16)),
    "Q8_0": _q8_0,
    "Q6_K": _q6_k,
}


def dequantised(format_name: str, raw: Tensor) -> Tensor:
    """uint8 ``[rows, blocks, bytes of a block]`` to ``[rows, columns]``."""
    if format_name in GROUPED:
        return GROUPED[format_name](raw).dequantised()
    return _FLOATS[format_name](raw)
