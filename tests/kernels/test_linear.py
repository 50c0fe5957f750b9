"""Stored weights times few rows, against the dequantised product in float64, on odd shapes."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor

from dovetail.kernels.linear import reference
from dovetail.kernels.linear.packed import STORAGES, Storage, pack, take_rows, unpack
from dovetail.kernels.linear.weight import KERNEL_ROWS, PackedWeight
from dovetail.kernels.ops import pack_weight

FORMS: list[tuple[Storage, int | None]] = [
    ("float32", None),
    ("bfloat16", None),
    ("int8", None),
    ("int8", 32),
    ("int8", 128),
    ("int4", 32),
    ("int4", 64),
    ("int4", 128),
]


def product(kernels: str, weight: PackedWeight, x: Tensor) -> Tensor:
    """What ``apply`` should return, but for sums in another order: float64, of the operands as the kernels round them."""
    packed, matrix = weight.packed, unpack(weight.packed)
    few = x.shape[0] <= (16 if kernels == "amx" and packed.storage == "int4" else KERNEL_ROWS)
    if packed.storage == "int4" and kernels in ("avx512vnni", "amx") and few:
        blocks = torch.zeros(x.shape[0], -(-packed.columns // packed.block), packed.block)
        blocks.flatten(1)[:, : packed.columns] = x
        unit = blocks.abs().amax(2, keepdim=True) / 127
        unit[unit == 0] = 1
        x = ((blocks * (1 / unit)).round() * unit).flatten(1)[:, : packed.columns]
    if kernels == "amx" and not few and packed.storage in ("bfloat16", "int4"):
        x, matrix = x.bfloat16(), matrix.bfloat16()
    return (x.double() @ matrix.double().T).float()


def tolerance(kernels: str, form: tuple[Storage, int | None], k: int) -> float:
    """With int8 weights, integer arithmetic rounds activations to 16 bits, and so do tiles with bfloat16."""
    error = 2e-5
    if kernels in ("avx512vnni", "amx") and form[0] == "int8":
        error = 3e-4
    if kernels == "amx" and form[0] in ("bfloat16", "int4"):
        error = 4e-5
    return error * k**0.5


SHAPES = [(1, 1), (31, 7), (33, 129), (64, 256), (5, 64), (100, 513), (129, 1030)]


def matrix(rows: int, columns: int, seed: int = 0) -> Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


def rows_in_nan(m: int, k: int, seed: int = 1) -> Tensor:
    """``[m, k]`` inside a larger tensor of NaN: whatever is read beyond a row shows."""
    wide = torch.full((m + 2, k + 19), float("nan"))
    wide[1 : m + 1, 3 : k + 3] = matrix(m, k, seed)
    return wide[1 : m + 1, 3 : k + 3]


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_agrees_with_the_reference(kernels: str, form: tuple[Storage, int | None]) -> None:
    for n, k in SHAPES:
        weight = PackedWeight(pack(matrix(n, k), *form))
        bias = matrix(1, n, 2)[0]
        for m in (5, 33) if kernels == "none" else (1, 2, 5, 12, 16, 33, 77, KERNEL_ROWS + 1):
            x = rows_in_nan(m, k)
            expected = product(kernels, weight, x) + bias
            torch.testing.assert_close(weight.apply(x, bias), expected, atol=tolerance(kernels, form, k), rtol=1e-4)
        x = rows_in_nan(4, k)
        rounding = 0.04 * k**0.5 if form[0] == "int4" else tolerance(kernels, form, k)
        torch.testing.assert_close(weight.apply(x), reference.linear(x, weight.packed), atol=rounding, rtol=1e-4)


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_every_number_of_rows(kernels: str, form: tuple[Storage, int | None]) -> None:
    weight = PackedWeight(pack(matrix(70, 203), *form))
    x = matrix(33, 203, 1)
    for m in range(34):
        expected = product(kernels, weight, x[:m])
        torch.testing.assert_close(weight.apply(x[:m]), expected, atol=tolerance(kernels, form, 203), rtol=1e-4)


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_a_row_does_not_depend_on_its_neighbours(kernels: str, form: tuple[Storage, int | None]) -> None:
    if kernels == "none":
        pytest.skip("torch makes no such promise")
    weight = PackedWeight(pack(matrix(200, 300), *form))
    x = matrix(100, 300, 1)
    torch.set_num_threads(3)
    alone = torch.cat([weight.apply(x[i : i + 1]) for i in range(100)])
    most = 16 if kernels == "amx" and form[0] == "int4" else 100
    for m in (2, 3, 8, 13, 16, 32, 37, 100):
        if m <= most:
            assert torch.equal(weight.apply(x[:m]), alone[:m])
    torch.set_num_threads(1)
    assert torch.equal(weight.apply(x[:most]), alone[:most])


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_unpacked_parts_and_rows(kernels: str, form: tuple[Storage, int | None]) -> None:
    for n, k in SHAPES:
        weight = PackedWeight(pack(matrix(n, k), *form))
        whole = unpack(weight.packed)
        for first, end in ((0, n), (n // 3, n - n // 4), (n - 1, n), (0, 0)):
            torch.testing.assert_close(weight._unpacked(first, end), whole[first:end], atol=1e-6, rtol=1e-6)
        index = torch.tensor([n - 1, 0, n // 2, 0])
        assert torch.equal(take_rows(weight.packed, index), whole[index])
        torch.testing.assert_close(weight.rows(index), whole[index], atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(
    ("form", "step"),
    [(("int8", None), 1 / 254), (("int8", 32), 1 / 254), (("int4", 32), 1 / 30), (("int4", 128), 1 / 30)],
    ids=str,
)
def test_rounding_stays_within_half_a_step(form: tuple[Storage, int | None], step: float) -> None:
    weight = matrix(40, 256)
    width = form[1] or 256
    spread = weight.view(40, -1, width)
    room = spread.amax(2) - spread.amin(2) if form[0] == "int4" else 2 * spread.abs().amax(2)
    error = (unpack(pack(weight, *form)) - weight).abs().view(40, -1, width).amax(2)
    assert bool((error <= room * step * (1.2 if form[0] == "int4" else 0.51)).all())


def test_float_types_are_exact() -> None:
    weight = matrix(50, 77)
    assert torch.equal(unpack(pack(weight, "float32")), weight)
    assert torch.equal(unpack(pack(weight, "bfloat16")), weight.bfloat16().float())


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_constant_and_zero_rows(form: tuple[Storage, int | None]) -> None:
    weight = torch.zeros(3, 130)
    weight[1] = 0.5
    weight[2] = -3.0
    torch.testing.assert_close(unpack(pack(weight, *form)), weight)


@pytest.mark.parametrize("row", [-200, 40])
def test_rows_that_do_not_exist(kernels: str, row: int) -> None:
    with pytest.raises(IndexError):
        PackedWeight(pack(matrix(40, 300), "float32")).rows(torch.tensor([0, row]))


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_nan_stays_nan(kernels: str, form: tuple[Storage, int | None]) -> None:
    weight = PackedWeight(pack(matrix(40, 300), *form))
    x = matrix(3, 300)
    x[1, 280] = float("nan")
    out = weight.apply(x)
    assert bool(out[1].isnan().all())
    assert not bool(out[[0, 2]].isnan().any())


def test_size() -> None:
    weight = matrix(64, 1024)
    sizes = {storage: pack_weight(weight, storage).nbytes / weight.numel() for storage in STORAGES}
    assert sizes == {"float32": 4, "bfloat16": 2, "int8": 1 + 4 / 128, "int4": 0.5 + 4 / 32}


@pytest.mark.parametrize(("storage", "group"), [("int4", None), ("int4", 48), ("bfloat16", 32)])
def test_unknown_forms_are_refused(storage: Storage, group: int | None) -> None:
    with pytest.raises(ValueError, match="group"):
        pack(matrix(4, 64), storage, group)


def test_many_threads_and_callers_at_once(kernels: str) -> None:
    weight = PackedWeight(pack(matrix(1000, 300), "int8", 128))
    x = matrix(9, 300, 1)
    expected = weight.apply(x)
    torch.set_num_threads(5)
    barrier = threading.Barrier(4)

    def work(_: int) -> bool:
        barrier.wait()
        return all(torch.allclose(weight.apply(x), expected, atol=1e-3) for _ in range(50))

    with ThreadPoolExecutor(4) as callers:
        assert all(callers.map(work, range(4)))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_has_threads_of_its_own(kernels: str) -> None:
    if kernels == "none":
        pytest.skip("torch's own threads do not survive a fork")
    torch.set_num_threads(3)
    weight = PackedWeight(pack(matrix(1000, 300), "int4", 32))
    x = matrix(4, 300, 1)
    expected = weight.apply(x)
    child = os.fork()
    if child == 0:
        os._exit(0 if torch.equal(weight.apply(x), expected) else 1)
    assert os.waitpid(child, 0)[1] == 0
