"""The C++ version of ``prepare_qkv``: one pass instead of some twenty small operations."""

from __future__ import annotations

from ctypes import CDLL

import torch
from torch import Tensor


def prepare_qkv(
    native: CDLL,
    qkv: Tensor,
    norms: tuple[Tensor, Tensor] | None,
    eps: float,
    angles: tuple[Tensor, Tensor],
    slots: Tensor,
    k_cache: Tensor,
    v_cache: Tensor,
) -> Tensor:
    """As the reference; everything float32 on the CPU, ``qkv`` and the angles dense."""
    rows, (kv_heads, width) = qkv.shape[0], k_cache.shape[2:]
    heads = qkv.shape[1] // width - 2 * kv_heads
    q = torch.empty((rows, heads, width))
    native.dovetail_prepare_qkv(
        q.data_ptr(),
        k_cache.data_ptr(),
        v_cache.data_ptr(),
        qkv.data_ptr(),
        qkv.stride(0),
        norms[0].data_ptr() if norms is not None else None,
        norms[1].data_ptr() if norms is not None else None,
        angles[0].data_ptr(),
        angles[1].data_ptr(),
        slots.data_ptr(),
        rows,
        heads,
        kv_heads,
        width,
        eps,
        torch.get_num_threads(),
    )
    return q
