"""The C++ versions of the small operations against their references, and what happens without the library."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from dovetail.kernels import ops
from dovetail.kernels.cpu import library as native
from dovetail.kernels.logit_mask import reference as logit_mask_reference
from dovetail.kernels.qkv import reference as qkv_reference
from dovetail.kernels.rms_norm import reference as rms_norm_reference
from dovetail.kernels.silu_mul import reference as silu_mul_reference

SHAPES = [(1, 1), (3, 7), (5, 33), (2, 256), (40, 4100), (0, 8)]


@pytest.mark.parametrize("shape", SHAPES)
def test_rms_norm(kernels: str, shape: tuple[int, int]) -> None:
    wide, weight = torch.randn(shape[0], shape[1] + 3), torch.randn(shape[1])
    x, delta = wide[:, : shape[1]], torch.randn(shape)
    torch.testing.assert_close(ops.rms_norm(x, weight, 1e-5), rms_norm_reference.rms_norm(x, weight, 1e-5))
    for left in (x, x.contiguous()):
        total, normed = ops.add_rms_norm(left, delta, weight, 1e-5)
        torch.testing.assert_close(total, x + delta)
        torch.testing.assert_close(normed, rms_norm_reference.rms_norm(x + delta, weight, 1e-5))


@pytest.mark.parametrize("shape", SHAPES)
def test_silu_mul(kernels: str, shape: tuple[int, int]) -> None:
    x = torch.randn(shape[0], 2 * shape[1]) * 20
    torch.testing.assert_close(ops.silu_mul(x), silu_mul_reference.silu_mul(x), atol=1e-6, rtol=1e-5)
    extreme = torch.tensor([[-1e4, 1e4, -100.0, 100.0] * 9 + [1.0] * 36])
    torch.testing.assert_close(ops.silu_mul(extreme), silu_mul_reference.silu_mul(extreme))


@pytest.mark.parametrize("normed", [False, True])
@pytest.mark.parametrize(("heads", "kv_heads", "width"), [(1, 1, 2), (6, 2, 10), (4, 4, 64), (8, 2, 128)])
def test_prepare_qkv(kernels: str, heads: int, kv_heads: int, width: int, normed: bool) -> None:
    rows = 7
    qkv = torch.randn(rows, (heads + 2 * kv_heads) * width)
    norms = (torch.randn(width), torch.randn(width)) if normed else None
    angles = torch.randn(rows, width // 2), torch.randn(rows, width // 2)
    slots = torch.tensor([5, 0, 9, 17, 2, 3, 11])
    caches = [torch.full((6, 3, kv_heads, width), float("nan")) for _ in range(4)]
    q = ops.prepare_qkv(qkv, norms, 1e-6, angles, slots, caches[0], caches[1])
    expected = qkv_reference.prepare_qkv(qkv, norms, 1e-6, angles, slots, caches[2], caches[3])
    torch.testing.assert_close(q, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(caches[0], caches[2], atol=1e-5, rtol=1e-5, equal_nan=True)
    assert torch.equal(caches[1].nan_to_num(), caches[3].nan_to_num())


@pytest.mark.parametrize("size", [1, 16, 31, 64, 1_003])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 1.0])
def test_mask_logits(kernels: str, size: int, share: float) -> None:
    rows, wide = 5, torch.randn(5, size + 3) * 10
    wide[0, 0] = 500.0  # beside which nothing else has any mass in float32
    allowed = torch.rand(rows, -(-size // 32) * 32) < share
    bits = allowed.view(rows, -1, 32).long() << torch.arange(32)
    words = bits.sum(-1).to(torch.int32)
    logits, scores = wide[:, :size], torch.randn(rows, size)
    masked, mass, counts = ops.mask_logits(scores, logits, words)
    allowed = allowed[:, :size]
    assert torch.equal(masked, scores.masked_fill(~allowed, -torch.inf))
    assert torch.equal(counts, allowed.sum(-1))
    exact = logits.double()
    wanted = exact.masked_fill(~allowed, -torch.inf).logsumexp(-1) - exact.logsumexp(-1)
    torch.testing.assert_close(mass.double(), wanted, atol=1e-4, rtol=1e-5)
    for mine, theirs in zip(
        (masked, mass, counts), logit_mask_reference.mask_logits(scores, logits, words), strict=True
    ):
        torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-5)


def test_describe(kernels: str) -> None:
    assert ("torch only" in ops.describe()) == (kernels == "none")
    assert native.instruction_set() == (None if kernels == "none" else kernels)


@pytest.mark.parametrize("content", [b"", b"no library"])
def test_a_damaged_library_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    (tmp_path / "_native.so").write_bytes(content)
    monkeypatch.setattr(native, "PATH", tmp_path / "_native.so")
    native.library.cache_clear()
    try:
        assert native.library() is None
    finally:
        monkeypatch.undo()
        native.library.cache_clear()


def test_other_types_go_by_the_reference(kernels: str) -> None:
    def close(a: Tensor, b: Tensor) -> None:
        assert a.dtype == torch.bfloat16
        torch.testing.assert_close(a, b)

    x, weight = torch.randn(3, 8, dtype=torch.bfloat16), torch.randn(8, dtype=torch.bfloat16)
    close(ops.rms_norm(x, weight, 1e-5), rms_norm_reference.rms_norm(x, weight, 1e-5))
    close(ops.silu_mul(x), silu_mul_reference.silu_mul(x))
