"""How rotary frequencies follow from a model's configuration: plain, linear, dynamic, llama3, YaRN and LongRoPE.

Knows the formulas; turning rows by the angles is kernels/rope.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dovetail.models.rope_config import RopeConfig


def rotary_frequencies(rope: RopeConfig | None, head_dim: int, length: int) -> tuple[Tensor, float | Tensor]:
    """The inverse frequencies, float32 ``[head_dim / 2]`` in radians per position, and the factor on cosine and sine.

    What is not turned has the frequency 0 and the factor 1.

    Args:
        rope: the parameters; None: nothing is turned.
        head_dim: of every head.
        length: the longest context that is served, which LongRoPE depends on.
    """
    if rope is None:
        return torch.zeros(head_dim // 2), 1.0
    turned, factor = _turned(rope, length)
    rest = (head_dim - rope.width) // 2
    if not rest:
        return turned, factor
    frequencies = torch.cat((turned, torch.zeros(rest)))
    return frequencies, factor if factor == 1 else torch.cat((torch.full_like(turned, factor), torch.ones(rest)))


def _turned(rope: RopeConfig, length: int) -> tuple[Tensor, float]:
    exponents = torch.arange(0, rope.width, 2, dtype=torch.int64).to(torch.float32) / rope.width
    plain = 1.0 / (rope.theta**exponents)
    if rope.type == "linear":
        assert rope.factor is not None
        return plain / rope.factor, 1.0
    if rope.type == "dynamic":
        assert rope.original_length is not None
        if length > rope.original_length:
            raise ValueError(f"dynamic rope: no fixed angles beyond {rope.original_length} positions")
        return plain, 1.0
    if rope.type == "llama3":
        return _llama3(rope, plain), 1.0
    if rope.type == "yarn":
        return _yarn(rope, plain), _yarn_attention_factor(rope)
    if rope.type == "longrope":
        assert rope.original_length is not None
        factors = rope.long_factors if length > rope.original_length else rope.short_factors
        return 1.0 / (torch.tensor(factors) * rope.theta**exponents), _longrope_attention_factor(rope)
    return plain, 1.0


def _llama3(rope: RopeConfig, plain: Tensor) -> Tensor:
    """Long wavelengths are stretched by ``factor``, short ones kept, those between blended."""
    assert rope.factor is not None
    assert rope.original_length is not None
    assert rope.low_freq_factor is not None
    assert rope.high_freq_factor is not None
    wavelength = 2 * math.pi / plain
    blend = (rope.original_length / wavelength - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor)
    blend = blend.clamp(0.0, 1.0)
    return (1 - blend) * plain / rope.factor + blend * plain


def _yarn(rope: RopeConfig, plain: Tensor) -> Tensor:
    """Frequencies that turn often within the original length are kept, slow ones divided by ``factor``."""
    assert rope.factor is not None
    assert rope.original_length is not None

    def dimension(rotations: float) -> float:
        assert rope.original_length is not None
        return rope.width * math.log(rope.original_length / (rotations * 2 * math.pi)) / (2 * math.log(rope.theta))

    low, high = dimension(rope.beta_fast), dimension(rope.beta_slow)
    if rope.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, rope.width - 1)
    if low == high:
        high += 0.001
    ramp = ((torch.arange(rope.width // 2, dtype=torch.float32) - low) / (high - low)).clamp(0, 1)
    return plain / rope.factor * ramp + plain * (1 - ramp)


def _yarn_attention_factor(rope: RopeConfig) -> float:
    assert rope.factor is not None
    if rope.attention_factor is not None:
        return rope.attention_factor

    def mscale(scale: float, by: float) -> float:
        return 1.0 if scale <= 1 else 0.1 * by * math.log(scale) + 1.0

    if rope.mscale and rope.mscale_all_dim:
        return mscale(rope.factor, rope.mscale) / mscale(rope.factor, rope.mscale_all_dim)
    return mscale(rope.factor, 1.0)


def _longrope_attention_factor(rope: RopeConfig) -> float:
    assert rope.factor is not None
    assert rope.original_length is not None
    if rope.attention_factor is not None:
        return rope.attention_factor
    return 1.0 if rope.factor <= 1 else math.sqrt(1 + math.log(rope.factor) / math.log(rope.original_length))
