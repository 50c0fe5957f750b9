"""The C++ version of root-mean-square normalisation, with or without the residual addition before it."""

from __future__ import annotations

from ctypes import CDLL

import torch
from torch import Tensor


def rms_norm(native: CDLL, x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """As the reference; ``x`` float32 ``[rows, N]`` on the CPU, dense in N."""
    rows, width = x.shape
    out = torch.empty((rows, width))
    native.dovetail_rms_norm(
        out.data_ptr(),
        None,
        x.data_ptr(),
        x.stride(0),
        None,
        weight.data_ptr(),
        rows,
        width,
        eps,
        torch.get_num_threads(),
    )
    return out


def add_rms_norm(native: CDLL, x: Tensor, delta: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """As the reference; ``x`` and ``delta`` float32 ``[rows, N]`` on the CPU, dense."""
    rows, width = x.shape
    total, out = torch.empty((rows, width)), torch.empty((rows, width))
    native.dovetail_rms_norm(
        out.data_ptr(),
        total.data_ptr(),
        x.data_ptr(),
        width,
        delta.data_ptr(),
        weight.data_ptr(),
        rows,
        width,
        eps,
        torch.get_num_threads(),
    )
    return total, out
