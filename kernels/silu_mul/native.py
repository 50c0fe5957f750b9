"""The C++ version of ``silu_mul``."""

from __future__ import annotations

from ctypes import CDLL

import torch
from torch import Tensor


def silu_mul(native: CDLL, gate_up: Tensor) -> Tensor:
    """As the reference; ``gate_up`` float32 ``[rows, 2 * N]`` on the CPU, dense."""
    rows, width = gate_up.shape[0], gate_up.shape[1] // 2
    out = torch.empty((rows, width))
    native.dovetail_silu_mul(out.data_ptr(), gate_up.data_ptr(), rows, width, torch.get_num_threads())
    return out
