"""Norms, the gated activation, and queries, keys and values: against the references, on odd shapes, among NaN."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from dovetail.kernels.qkv import reference as qkv_reference
from dovetail.kernels.rms_norm import reference as rms_norm_reference
from dovetail.kernels.rope.reference import rope_angles
from dovetail.kernels.silu_mul import reference as silu_mul_reference

pytestmark = pytest.mark.triton
TYPES = [torch.float32, torch.bfloat16]


def padded(rows: int, width: int, dtype: torch.dtype, seed: int = 0) -> Tensor:
    """Random rows with NaN before, between and behind them."""
    around = torch.full((rows + 2, width + 3), float("nan"), dtype=dtype)
    inner = around[1:-1, :width]
    inner.copy_(torch.randn(rows, width, generator=torch.Generator(torch.get_default_device()).manual_seed(seed)))
    return inner


def near(one: Tensor, other: Tensor) -> None:
    # Triton's interpreter truncates to bfloat16 where a GPU rounds.
    loose = 3e-2 if one.dtype == torch.bfloat16 else 1e-5
    torch.testing.assert_close(one, other, atol=loose, rtol=loose)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("rows", "width"), [(1, 1), (3, 7), (5, 64), (2, 896), (1, 3584)])
def test_norms(rows: int, width: int, dtype: torch.dtype) -> None:
    from dovetail.kernels.rms_norm import triton

    x, delta, weight = padded(rows, width, dtype), padded(rows, width, dtype, 1), padded(1, width, dtype, 2)[0]
    near(triton.rms_norm(x, weight, 1e-6), rms_norm_reference.rms_norm(x, weight, 1e-6))
    for found, wanted in zip(
        triton.add_rms_norm(x, delta, weight, 1e-6),
        rms_norm_reference.add_rms_norm(x, delta, weight, 1e-6),
        strict=True,
    ):
        near(found, wanted)


def test_a_row_of_a_norm_does_not_depend_on_the_others() -> None:
    from dovetail.kernels.rms_norm import triton

    x, weight = padded(9, 100, torch.float32), torch.randn(100)
    whole = triton.rms_norm(x, weight, 1e-6)
    assert torch.equal(whole[4:5], triton.rms_norm(x[4:5], weight, 1e-6))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("rows", "width"), [(1, 1), (3, 5), (2, 2500)])
def test_silu_mul(rows: int, width: int, dtype: torch.dtype) -> None:
    from dovetail.kernels.silu_mul import triton

    x = padded(rows, 2 * width, dtype)
    near(triton.silu_mul(x), silu_mul_reference.silu_mul(x))


@pytest.mark.parametrize("normed", [False, True])
@pytest.mark.parametrize(("heads", "kv_heads", "width"), [(1, 1, 2), (7, 1, 64), (6, 2, 80), (4, 4, 128), (3, 3, 6)])
def test_prepare_qkv(heads: int, kv_heads: int, width: int, normed: bool) -> None:
    from dovetail.kernels.qkv import triton

    rows = 5
    qkv = padded(rows, (heads + 2 * kv_heads) * width, torch.float32)
    norms = (torch.randn(width), torch.randn(width)) if normed else None
    angles = rope_angles(torch.arange(rows) * 7, torch.rand(width // 2), 1.0, torch.float32)
    slots = torch.tensor([3, 0, 11, 8, 5])
    results = []
    for prepare in (triton.prepare_qkv, qkv_reference.prepare_qkv):
        k_cache = torch.full((3, 4, kv_heads, width), float("nan"))
        v_cache = k_cache.clone()
        q = prepare(qkv, norms, 1e-6, angles, slots, k_cache, v_cache)
        results.append((q, k_cache, v_cache))
    for found, wanted in zip(*results, strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5, equal_nan=True)
    assert int(results[0][1].isnan().all(-1).all(-1).sum()) == 12 - rows, "a slot that was not named was written"


def test_a_cache_of_8_bits() -> None:
    """Values that float8 holds exactly, and some beyond its largest: the interpreter's own rounding is not quite right."""
    from dovetail.kernels.qkv import triton

    qkv = torch.randn(4, 3 * 8).to(torch.float8_e4m3fn).float()
    qkv[:, 10] = torch.tensor([1e4, -1e4, 460.0, -448.0])
    angles = (torch.ones(4, 4), torch.zeros(4, 4))
    caches = []
    for prepare in (triton.prepare_qkv, qkv_reference.prepare_qkv):
        k_cache, v_cache = (torch.full((2, 4, 1, 8), float("nan")).to(torch.float8_e4m3fn) for _ in range(2))
        prepare(qkv, None, 1e-6, angles, torch.tensor([1, 6, 0, 3]), k_cache, v_cache)
        caches.append((k_cache.float(), v_cache.float()))
    for found, wanted in zip(*caches, strict=True):
        torch.testing.assert_close(found, wanted, atol=0, rtol=0, equal_nan=True)
