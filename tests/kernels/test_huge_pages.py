"""Tensors that asked for huge pages are tensors like any other."""

from __future__ import annotations

import pytest
import torch

from dovetail.kernels.cpu.huge_pages import PAGE, empty


@pytest.mark.parametrize("shape", [(3, 5), (0, 4), (PAGE, 3), (PAGE // 4 * 2 + 1,)])
@pytest.mark.parametrize("dtype", [torch.int32, torch.bfloat16])
def test_what_is_written_is_read(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    tensor, other = empty(shape, dtype), empty(shape, dtype)
    other.fill_(7)
    tensor.fill_(5)
    assert tensor.shape == torch.Size(shape) and tensor.dtype == dtype and tensor.is_contiguous()
    assert bool((tensor == 5).all()) and bool((other == 7).all())
    if tensor.nbytes >= 2 * PAGE:
        assert tensor.data_ptr() % PAGE == 0
