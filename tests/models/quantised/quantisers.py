"""Writes a checkpoint in the layouts of quantised ones, one integer at a time, and the checkpoint of the same numbers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

Stored = tuple[dict[str, Tensor], Tensor]
"""The tensors of a matrix by suffix, and the numbers that they stand for."""
AWQ_ORDER = [0, 2, 4, 6, 1, 3, 5, 7]


def words_of(values: Tensor, bits: int, dim: int, order: list[int] | None = None) -> Tensor:
    """Unsigned integers into int32 words along ``dim``."""
    per = 32 // bits
    values = values.movedim(dim, -1).to(torch.int64)
    words = torch.zeros(*values.shape[:-1], values.shape[-1] // per, dtype=torch.int64)
    for place in range(per):
        words |= values[..., (order or list(range(per)))[place] :: per] << (bits * place)
    return torch.where(words >= 1 << 31, words - (1 << 32), words).to(torch.int32).movedim(-1, dim).contiguous()


def rounded(weight: Tensor, bits: int, group_of: Tensor, symmetric: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Values ``[rows, columns]``, zero points and float16-exact scales ``[rows, groups]``."""
    groups, most = int(group_of.max()) + 1, (1 << bits) - 1
    values = torch.zeros_like(weight)
    zeros, scales = torch.zeros(len(weight), groups), torch.zeros(len(weight), groups)
    for group in range(groups):
        part = weight[:, group_of == group]
        low, high = part.amin(1).clamp(max=0), part.amax(1).clamp(min=0)
        if symmetric:
            high = torch.maximum(high, -low)
            low = -high
        scale = ((high - low) / most).to(torch.float16).to(torch.float32)
        zero = torch.full_like(scale, 1 << (bits - 1)) if symmetric else (-low / scale).round().clamp(1, most)
        values[:, group_of == group] = (part / scale.unsqueeze(1) + zero.unsqueeze(1)).round().clamp(0, most)
        zeros[:, group], scales[:, group] = zero, scale
    return values, zeros, scales


def numbers(values: Tensor, zeros: Tensor, scales: Tensor, group_of: Tensor) -> Tensor:
    """What they stand for."""
    return (values - zeros[:, group_of]) * scales[:, group_of]


def awq(weight: Tensor, group: int) -> Stored:
    group_of = torch.arange(weight.shape[1]) // group
    values, zeros, scales = rounded(weight, 4, group_of, symmetric=False)
    tensors = {
        "qweight": words_of(values.T, 4, 1, AWQ_ORDER),
        "qzeros": words_of(zeros.T, 4, 1, AWQ_ORDER),
        "scales": scales.T.to(torch.float16).contiguous(),
    }
    return tensors, numbers(values, zeros, scales, group_of)


def gptq(weight: Tensor, group: int, bits: int = 4, *, shuffled: bool = False, version: int = 1) -> Stored:
    group_of = torch.arange(weight.shape[1]) // (group if group > 0 else weight.shape[1])
    if shuffled:
        group_of = group_of[torch.randperm(len(group_of), generator=torch.Generator().manual_seed(0))]
    values, zeros, scales = rounded(weight, bits, group_of, symmetric=version == 1)
    tensors = {
        "qweight": words_of(values.T, bits, 0),
        "qzeros": words_of((zeros - (1 if version == 1 else 0)).T, bits, 1),
        "scales": scales.T.to(torch.float16).contiguous(),
        "g_idx": group_of.to(torch.int32),
        "bias": torch.zeros(len(weight), dtype=torch.float16),
    }
    return tensors, numbers(values, zeros, scales, group_of)


def packed(weight: Tensor, group: int, *, symmetric: bool) -> Stored:
    group_of = torch.arange(weight.shape[1]) // group
    values, zeros, scales = rounded(weight, 4, group_of, symmetric)
    tensors = {
        "weight_packed": words_of(values, 4, 1),
        "weight_scale": scales.to(torch.bfloat16),
        "weight_shape": torch.tensor(weight.shape),
    }
    if not symmetric:
        tensors["weight_zero_point"] = words_of(zeros, 4, 0)
    return tensors, numbers(values, zeros, scales.to(torch.bfloat16).to(torch.float32), group_of)


def fp8(weight: Tensor, kind: str) -> Stored:
    if kind == "tensor":
        scale, spread = weight.abs().max() / 448, torch.ones_like(weight)
    elif kind == "channel":
        scale, spread = weight.abs().amax(1, keepdim=True) / 448, torch.ones_like(weight)
    else:
        rows, columns = -(-weight.shape[0] // 48), -(-weight.shape[1] // 32)
        scale = torch.zeros(rows, columns)
        spread = torch.zeros_like(weight)
        for i in range(rows):
            for j in range(columns):
                place = (slice(48 * i, 48 * i + 48), slice(32 * j, 32 * j + 32))
                scale[i, j] = weight[place].abs().max() / 448
                spread[place] = scale[i, j]
    whole = spread if kind == "block" else scale * spread
    stored = (weight / whole).to(torch.float8_e4m3fn)
    name = "weight_scale_inv" if kind == "block" else "weight_scale"
    return {"weight": stored, name: scale, "input_scale": torch.ones(1)}, stored.to(torch.float32) * whole


def int8(weight: Tensor) -> Stored:
    scale = weight.abs().amax(1, keepdim=True) / 127
    stored = (weight / scale).round().to(torch.int8)
    return {"weight": stored, "weight_scale": scale}, stored.to(torch.float32) * scale


def quantised(
    directory: Path, checkpoint: Path, config: dict[str, Any], store: Callable[[Tensor], Stored], reference: Path
) -> Path:
    """``checkpoint`` with the projections of its layers stored so."""
    for target in (directory, reference):
        shutil.copytree(checkpoint, target)
    tensors, plain = {}, {}
    for name, weight in load_file(checkpoint / "model.safetensors").items():
        if weight.dim() == 2 and ".layers." in name:
            parts, plain[name] = store(weight.to(torch.float32))
            base = name.removesuffix("weight")
            tensors |= {
                base + suffix: each.contiguous() for suffix, each in parts.items() if base + suffix not in tensors
            }
        else:
            tensors[name] = plain[name] = weight
    biases = {name: each for name, each in plain.items() if name.endswith(".bias")}
    save_file({**tensors, **biases}, directory / "model.safetensors", metadata={"format": "pt"})
    save_file(
        {name: each.contiguous() for name, each in plain.items()},
        reference / "model.safetensors",
        metadata={"format": "pt"},
    )
    values = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps({**values, "quantization_config": config}))
    return directory
