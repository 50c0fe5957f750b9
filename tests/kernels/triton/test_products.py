"""Stored weights and experts on the device, against plain products with what is stored."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from dovetail.kernels.linear.device import DeviceWeight, quantise, unpack
from dovetail.kernels.linear.packed import Storage
from dovetail.kernels.moe import reference as moe_reference
from dovetail.kernels.silu_mul.reference import silu_mul

pytestmark = pytest.mark.triton


def randn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def stored(weight: Tensor, storage: Storage | None, group: int | None = None) -> DeviceWeight:
    if storage is None:
        return DeviceWeight(None, weight.shape[1], weight, weight.dtype)
    return quantise(weight, storage, group)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize(("storage", "group"), [(None, None), ("int8", 128), ("int8", 32), ("int4", 32), ("int4", 128)])
@pytest.mark.parametrize(("rows", "columns", "outputs"), [(1, 128, 32), (3, 200, 33), (70, 64, 7)])
def test_linear(
    rows: int, columns: int, outputs: int, storage: Storage | None, group: int | None, dtype: torch.dtype
) -> None:
    weight = stored(randn(outputs, columns, dtype=dtype), storage, group)
    x = torch.full((rows, columns + 5), float("nan"), dtype=dtype)[:, :columns]
    x.copy_(randn(rows, columns, seed=1))
    loose = 1e-4 if dtype == torch.float32 else 2e-2
    for bias in (None, randn(outputs, seed=2, dtype=dtype)):
        wanted = F.linear(x.float(), unpack(weight).float(), None if bias is None else bias.float())
        torch.testing.assert_close(weight.apply(x, bias).float(), wanted, atol=loose * columns**0.5, rtol=loose)


@pytest.mark.parametrize(("storage", "most"), [("int8", 0.01), ("int4", 0.12)])
def test_what_is_stored_is_near(storage: Storage, most: float) -> None:
    weight = randn(20, 300)
    weight[3] = 0
    error = unpack(quantise(weight, storage)) - weight
    assert float(error.norm() / weight.norm()) < most
    index = torch.tensor([3, 0, 19])
    assert torch.equal(quantise(weight, storage).rows(index), unpack(quantise(weight, storage))[index])


@pytest.mark.parametrize("storage", [None, "int8", "int4"])
def test_a_row_is_the_same_bits_among_any_others(storage: Storage | None) -> None:
    weight, x = stored(randn(40, 160), storage), randn(130, 160, seed=3)
    whole = weight.apply(x)
    for first, end in [(0, 1), (63, 66), (129, 130)]:
        assert torch.equal(weight.apply(x[first:end].contiguous()), whole[first:end])


def test_storages_that_are_not_there_are_refused() -> None:
    with pytest.raises(ValueError, match="not supported"):
        quantise(randn(2, 2), "bfloat16")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize(("rows", "experts", "per_row"), [(1, 8, 2), (7, 3, 3), (40, 4, 2), (5, 1, 1)])
def test_experts(rows: int, experts: int, per_row: int, biased: bool, dtype: torch.dtype) -> None:
    from dovetail.kernels.moe import triton

    x = randn(rows, 40, dtype=dtype)
    layer = moe_reference.Experts(
        randn(experts, 2 * 24, 40, seed=1, dtype=dtype) / 6,
        randn(experts, 40, 24, seed=2, dtype=dtype) / 6,
        randn(experts, 2 * 24, seed=6, dtype=dtype) if biased else None,
        randn(experts, 40, seed=7, dtype=dtype) if biased else None,
        silu_mul,
    )
    chosen = randn(rows, experts, seed=4).topk(per_row).indices
    shares = randn(rows, per_row, seed=5).softmax(-1).to(dtype)
    loose = 1e-5 if dtype == torch.float32 else 1e-2
    wanted = moe_reference.mix_experts(x, chosen, shares, layer)
    found = triton.mix_experts(x, chosen, shares, layer)
    torch.testing.assert_close(found, wanted, atol=loose, rtol=loose)


def test_an_experts_row_is_the_same_bits_among_any_others() -> None:
    from dovetail.kernels.moe import triton

    x = randn(50, 32)
    layer = moe_reference.Experts(randn(3, 2 * 16, 32, seed=1), randn(3, 32, 16, seed=2), None, None, silu_mul)
    chosen = randn(50, 3, seed=4).topk(2).indices
    shares = randn(50, 2, seed=5).softmax(-1)
    whole = triton.mix_experts(x, chosen, shares, layer, invariant=True)
    for row in (0, 17, 49):
        here = slice(row, row + 1)
        alone = triton.mix_experts(x[here], chosen[here], shares[here], layer, invariant=True)
        assert torch.equal(alone, whole[here])
