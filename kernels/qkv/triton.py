"""``prepare_qkv`` on a GPU: norm, rotation and the write to the cache in one pass over the projection.

A program takes a row and a few of its heads, whichever of the three kinds they are. Bytes moved per row: all heads read once and
written once, ``4 * (H + 2 * kv_heads) * D`` in bfloat16, one fourth less of keys and values in a cache of 8 bits; the angles stay in the L2
cache. The floor is that over the copy bandwidth. Not run on a GPU yet.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from dovetail.kernels.gpu import power_of_two

FP8_MAX = tl.constexpr(448.0)
"""The largest float8_e4m3fn; more would become NaN."""


@triton.jit
def _stored(x, ptr, NARROW: tl.constexpr):
    """``x`` in the type of the cache at ``ptr``."""
    if NARROW:
        x = tl.clamp(x.to(tl.float32), -FP8_MAX, FP8_MAX)
    return x.to(ptr.dtype.element_ty)


@triton.jit
def _prepare(
    q_ptr, k_ptr, v_ptr, qkv_ptr, q_norm_ptr, k_norm_ptr, cos_ptr, sin_ptr, slots_ptr,
    qkv_row, eps,
    HEADS: tl.constexpr, KV_HEADS: tl.constexpr, WIDTH: tl.constexpr, HALF: tl.constexpr,
    NORMED: tl.constexpr, WIDE: tl.constexpr, NARROW: tl.constexpr, BLOCK_H: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1) * BLOCK_H + tl.arange(0, BLOCK_H)
    at = tl.arange(0, HALF)
    half: tl.constexpr = WIDTH // 2
    inside = (head < HEADS + 2 * KV_HEADS)[:, None] & (at < half)[None, :]
    source = qkv_ptr + row * qkv_row + head[:, None] * WIDTH + at[None, :]
    first = tl.load(source, mask=inside, other=0.0)
    second = tl.load(source + half, mask=inside, other=0.0)
    is_query, is_value = (head < HEADS)[:, None], (head >= HEADS + KV_HEADS)[:, None]
    turned_first, turned_second = first.to(tl.float32), second.to(tl.float32)
    if NORMED:
        a, b = first.to(tl.float32), second.to(tl.float32)
        scale = tl.rsqrt((tl.sum(a * a, axis=1) + tl.sum(b * b, axis=1)) / WIDTH + eps)[:, None]
        short = (at < half)[None, :]
        weight_first = tl.where(
            is_query,
            tl.load(q_norm_ptr + at[None, :], mask=short, other=0.0),
            tl.load(k_norm_ptr + at[None, :], mask=short, other=0.0),
        )
        weight_second = tl.where(
            is_query,
            tl.load(q_norm_ptr + half + at[None, :], mask=short, other=0.0),
            tl.load(k_norm_ptr + half + at[None, :], mask=short, other=0.0),
        )
        a, b = a * scale, b * scale
        if not WIDE:
            a, b = a.to(first.dtype).to(tl.float32), b.to(first.dtype).to(tl.float32)
        turned_first, turned_second = a * weight_first.to(tl.float32), b * weight_second.to(tl.float32)
    cos = tl.load(cos_ptr + row * half + at, mask=at < half, other=0.0)[None, :].to(tl.float32)
    sin = tl.load(sin_ptr + row * half + at, mask=at < half, other=0.0)[None, :].to(tl.float32)
    a = turned_first.to(first.dtype).to(tl.float32)
    b = turned_second.to(first.dtype).to(tl.float32)
    new_first, new_second = (a * cos - b * sin).to(first.dtype), (b * cos + a * sin).to(first.dtype)
    target = q_ptr + (row * HEADS + head[:, None]) * WIDTH + at[None, :]
    tl.store(target, new_first, mask=inside & is_query)
    tl.store(target + half, new_second, mask=inside & is_query)
    slot = tl.load(slots_ptr + row).to(tl.int64)
    key = k_ptr + (slot * KV_HEADS + head[:, None] - HEADS) * WIDTH + at[None, :]
    is_key = inside & (head >= HEADS)[:, None] & (head < HEADS + KV_HEADS)[:, None]
    tl.store(key, _stored(new_first, k_ptr, NARROW), mask=is_key)
    tl.store(key + half, _stored(new_second, k_ptr, NARROW), mask=is_key)
    value = v_ptr + (slot * KV_HEADS + head[:, None] - HEADS - KV_HEADS) * WIDTH + at[None, :]
    tl.store(value, _stored(first, v_ptr, NARROW), mask=inside & is_value)
    tl.store(value + half, _stored(second, v_ptr, NARROW), mask=inside & is_value)


def prepare_qkv(
    qkv: Tensor,
    norms: tuple[Tensor, Tensor] | None,
    eps: float,
    angles: tuple[Tensor, Tensor],
    slots: Tensor,
    k_cache: Tensor,
    v_cache: Tensor,
) -> Tensor:
    """As the reference; ``qkv`` dense in its last dimension, the angles and caches dense."""
    rows, (kv_heads, width) = qkv.shape[0], k_cache.shape[2:]
    heads = qkv.shape[1] // width - 2 * kv_heads
    q = torch.empty((rows, heads, width), dtype=qkv.dtype, device=qkv.device)
    if rows:
        half = power_of_two(width // 2)
        block = min(power_of_two(heads + 2 * kv_heads), max(1, 1024 // half))
        query_norm, key_norm = norms if norms is not None else (qkv, qkv)
        _prepare[(rows, triton.cdiv(heads + 2 * kv_heads, block))](
            q,
            k_cache,
            v_cache,
            qkv,
            query_norm,
            key_norm,
            *angles,
            slots,
            qkv.stride(0),
            eps,
            HEADS=heads,
            KV_HEADS=kv_heads,
            WIDTH=width,
            HALF=half,
            NORMED=norms is not None,
            WIDE=query_norm.dtype != qkv.dtype,
            NARROW=k_cache.element_size() == 1,
            BLOCK_H=block,
            num_warps=4,
        )
    return q
