"""Stored weights and experts on the device, against plain products with what is stored."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from dovetail.kernels import gpu
from dovetail.kernels.linear import reference
from dovetail.kernels.linear.device import DeviceWeight, quantise, unpack
from dovetail.kernels.linear.packed import Storage
from dovetail.kernels.linear.weight import DenseWeight
from dovetail.kernels.moe import reference as moe_reference
from dovetail.kernels.moe.stored import quantise_experts
from dovetail.kernels.silu_mul.reference import silu_mul

pytestmark = pytest.mark.triton
# The interpreter multiplies matrices of bfloat16 as if they were integers.
TYPES = [torch.float32, torch.float16, *(() if gpu.INTERPRETED else (torch.bfloat16,))]


def randn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator(torch.get_default_device()).manual_seed(seed)).to(dtype)


def stored(weight: Tensor, storage: Storage | None, group: int | None = None) -> DeviceWeight:
    if storage is None:
        return DeviceWeight(None, weight.shape[1], weight, weight.dtype)
    return quantise(weight, storage, group)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(
    ("storage", "group"), [(None, None), ("int8", 128), ("int8", 32), ("int4", 32), ("int4", 128), ("fp8", None)]
)
@pytest.mark.parametrize(
    ("rows", "columns", "outputs"), [(1, 128, 32), (3, 200, 33), (70, 64, 7), (2, 1100, 33), (70, 1100, 7)]
)
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


@pytest.mark.parametrize("storage", ["int8", "int4", "fp8"])
@pytest.mark.parametrize(("outputs", "columns"), [(3, 128), (5, 300), (2, 2100)])
def test_weights_are_written_out_for_many_rows(outputs: int, columns: int, storage: Storage) -> None:
    from dovetail.kernels.linear import triton

    weight = quantise(randn(outputs, columns), storage)
    torch.testing.assert_close(triton.unpack(weight), unpack(weight), atol=1e-6, rtol=1e-6)
    x = randn(triton.MANY + 1, columns, seed=1)
    torch.testing.assert_close(weight.apply(x), F.linear(x, unpack(weight)), atol=1e-4, rtol=1e-4)


def test_rows_are_rounded_to_8_bits() -> None:
    """Numbers that 8-bit floats hold when the largest of a row is 448 or a power of two of it."""
    from dovetail.kernels.linear import triton

    x = torch.tensor([[448.0, -1.5, 0.0, 3.25], [-7.0, 0.5, 1.75, 0.0], [0.0, 0.0, 0.0, 0.0]])
    around = torch.full((3, 9), float("nan"))
    around[:, :4] = x
    for found, wanted in zip(triton.round_rows(around[:, :4]), reference.round_rows(x), strict=True):
        assert torch.equal(found.float(), wanted.float())


def test_both_sides_in_8_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch's product is handed what it wants: scales by row and by column, the second matrix by columns."""
    from dovetail.kernels.linear import triton

    weight, x = quantise(randn(32, 64, dtype=torch.bfloat16), "fp8"), randn(300, 64, seed=1, dtype=torch.bfloat16)

    def scaled_mm(a: Tensor, b: Tensor, by_row: Tensor, by_column: Tensor, out_dtype: torch.dtype) -> Tensor:
        assert a.is_contiguous() and b.T.is_contiguous() and (by_row.shape, by_column.shape) == ((300, 1), (1, 32))
        assert {each.dtype for each in (by_row, by_column)} == {torch.float32} and by_column.is_contiguous()
        return ((a.float() * by_row) @ (b.float() * by_column)).to(out_dtype)

    monkeypatch.setattr(torch, "_scaled_mm", scaled_mm)
    monkeypatch.setattr(
        triton, "round_rows", reference.round_rows
    )  # the interpreter's rounding to 8 bits is not quite right
    assert weight.scales is not None
    bias = randn(32, seed=2, dtype=torch.bfloat16)
    wanted = reference.scaled_linear(x, weight.words, weight.scales, bias)
    torch.testing.assert_close(weight.apply(x, bias), wanted, atol=2e-2, rtol=2e-2)
    plain = F.linear(x.float(), unpack(weight).float(), bias.float())
    assert float((wanted.float() - plain).norm() / plain.norm()) < 0.04


@pytest.mark.parametrize(("storage", "most"), [("int8", 0.01), ("int4", 0.12), ("fp8", 0.03)])
def test_what_is_stored_is_near(storage: Storage, most: float) -> None:
    weight = randn(20, 300)
    weight[3] = 0
    error = unpack(quantise(weight, storage)) - weight
    assert float(error.norm() / weight.norm()) < most
    index = torch.tensor([3, 0, 19])
    assert torch.equal(quantise(weight, storage).rows(index), unpack(quantise(weight, storage))[index])


@pytest.mark.parametrize("columns", [160, 1100])
@pytest.mark.parametrize("storage", [None, "int8", "int4", "fp8"])
def test_a_row_is_the_same_bits_among_any_others(storage: Storage | None, columns: int) -> None:
    """However many parts its sum is made in, by one program or by several."""
    weight = replace(stored(randn(40, columns), storage), invariant=True)
    x = randn(130, columns, seed=3)
    whole = weight.apply(x)
    for first, end in [(0, 1), (63, 66), (129, 130)]:
        assert torch.equal(weight.apply(x[first:end].contiguous()), whole[first:end])


def test_storages_that_are_not_there_are_refused() -> None:
    with pytest.raises(ValueError, match="not supported"):
        quantise(randn(2, 2), "bfloat16")


@pytest.mark.parametrize("storage", [None, "int8", "int4", "fp8"])
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize(("rows", "experts", "per_row"), [(1, 8, 2), (7, 3, 3), (40, 4, 2), (5, 1, 1)])
def test_experts(
    rows: int, experts: int, per_row: int, biased: bool, dtype: torch.dtype, storage: Storage | None
) -> None:
    from dovetail.kernels.moe import triton

    x = torch.full((rows, 47), float("nan"), dtype=dtype)[:, :40]
    x.copy_(randn(rows, 40))
    gate_up, down = randn(experts, 2 * 24, 40, seed=1, dtype=dtype) / 6, randn(experts, 40, 24, seed=2, dtype=dtype) / 6
    layer = moe_reference.Experts(
        gate_up if storage is None else quantise_experts(gate_up, storage),
        down if storage is None else quantise_experts(down, storage),
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


@pytest.mark.parametrize("storage", [None, "int4", "fp8"])
def test_a_layer_of_experts_is_held_as_the_kernels_want_it(storage: Storage | None) -> None:
    """As a checkpoint is read for a GPU: an expert at a time in few bits, or for batch-invariant sums; then all of a layer as one."""
    from dovetail.models.mlp import ExpertsMlp, GroupedExpertsMlp, Projection

    def projection(outputs: int, columns: int, seed: int) -> Projection:
        return Projection(
            replace(stored(randn(outputs, columns, seed=seed) / 6, storage), invariant=True), randn(outputs, seed=seed)
        )

    layer = ExpertsMlp(
        Projection(DenseWeight(randn(4, 40, seed=9)), None),
        [projection(48, 40, seed) for seed in range(4)],
        [projection(40, 24, seed + 4) for seed in range(4)],
        2,
        True,
        "silu",
        None,
    )
    grouped = layer.grouped(invariant=True)
    assert isinstance(grouped, GroupedExpertsMlp)
    assert (grouped.nbytes, grouped.step_bytes) == (layer.nbytes, layer.step_bytes)
    x = randn(5, 40, seed=11)
    torch.testing.assert_close(grouped.apply(x), layer.apply(x), atol=1e-4, rtol=1e-4)
