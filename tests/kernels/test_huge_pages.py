"""Tensors that asked for huge pages are tensors like any other, and begin where pages begin if they are large."""

from __future__ import annotations

import gc

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail.kernels.cpu.huge_pages import PAGE, SLAB, empty


@pytest.mark.parametrize("shape", [(3, 5), (0, 4), (PAGE, 3), (PAGE // 4 * 2 + 1,), (SLAB // 2 + 1,)])
@pytest.mark.parametrize("dtype", [torch.int32, torch.bfloat16])
def test_what_is_written_is_read(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    tensor, other = empty(shape, dtype), empty(shape, dtype)
    other.fill_(7)
    tensor.fill_(5)
    assert tensor.shape == torch.Size(shape) and tensor.dtype == dtype and tensor.is_contiguous()
    assert bool((tensor == 5).all()) and bool((other == 7).all())
    assert tensor.data_ptr() % 64 == 0
    if tensor.nbytes > SLAB // 2:
        assert tensor.data_ptr() % PAGE == 0


@settings(max_examples=8)
@given(st.lists(st.tuples(st.integers(0, 3 * PAGE), st.booleans()), max_size=12))
def test_tensors_never_share_memory_and_outlive_each_other(sizes: list[tuple[int, bool]]) -> None:
    held = []
    for number, (size, keep) in enumerate(sizes):
        tensor = empty((size,), torch.uint8)
        tensor[:1] = number
        tensor[-1:] = number
        if keep:
            held.append((number, tensor))
    gc.collect()
    assert all(bool((tensor[:1] == number).all()) and bool((tensor[-1:] == number).all()) for number, tensor in held)
