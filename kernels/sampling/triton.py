"""Penalties, masks and sampling on a GPU: one program per row, no word of the host in between.

A row is read from the L2 cache a few times: once for the largest logits and what the mask left, once for the sums, once more for the
draw. Only rows with top-k, top-p or min-p search the smallest weight that is kept, by halving the range of float32 patterns three
bounds at a time: some 20 readings. Bytes moved: the logits once, ``4 * V`` per row and ``V / 8`` for its mask; the floor of a step is
that over the copy bandwidth, but with fewer rows than multiprocessors one program's own rate is the limit. Not run on a GPU yet.

A row's token depends on nothing but the row.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from dovetail.kernels.gpu import INTERPRETED
from dovetail.kernels.sampling.rows import Adjustments, Drawn, SampleRows

_BLOCK = 256 if INTERPRETED else 4096
_ONE = tl.constexpr(0x3F800000)
"""The pattern of 1.0, the largest weight."""


@triton.jit
def _adjust(logits_ptr, starts_ptr, tokens_ptr, divisors_ptr, addends_ptr, logits_row, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    end = tl.load(starts_ptr + row + 1)
    base = logits_ptr + row.to(tl.int64) * logits_row
    for first in range(tl.load(starts_ptr + row), end, BLOCK):
        at = first + tl.arange(0, BLOCK)
        inside = at < end
        token = tl.load(tokens_ptr + at, mask=inside, other=0)
        old = tl.load(base + token, mask=inside, other=0.0)
        divisor = tl.load(divisors_ptr + at, mask=inside, other=1.0)
        new = tl.where(old > 0, old / divisor, old * divisor) + tl.load(addends_ptr + at, mask=inside, other=0.0)
        tl.store(base + token, new, mask=inside)


@triton.jit
def _allowed(words, at, size, MASKED: tl.constexpr):
    inside = at < size
    if MASKED:
        word = tl.load(words + at // 32, mask=inside, other=0)
        inside = inside & (((word >> (at % 32)) & 1) != 0)
    return inside


@triton.jit
def _weights(base, words, masked, at, size, top, inverse):
    """Weights of the allowed tokens at ``at``, 1 for the likeliest; 0 for all others."""
    allowed = at < size
    if masked:
        allowed = _allowed(words, at, size, True)
    score = tl.load(base + at, mask=allowed, other=float("-inf")).to(tl.float32)
    return tl.exp((score - top) * inverse)


@triton.jit
def _above(base, words, masked, size, top, inverse, bound, BLOCK: tl.constexpr):
    """How many weights are above ``bound``, and their sum."""
    count, mass = tl.zeros([BLOCK], tl.int32), tl.zeros([BLOCK], tl.float32)
    for first in range(0, size, BLOCK):
        weight = _weights(base, words, masked, first + tl.arange(0, BLOCK), size, top, inverse)
        count += (weight > bound).to(tl.int32)
        mass += tl.where(weight > bound, weight, 0.0)
    return tl.sum(count, axis=0), tl.sum(mass, axis=0)


@triton.jit
def _keeps(base, words, masked, size, top, inverse, low, middle, high, most, share, BLOCK: tl.constexpr):
    """Whether a weight of each of three patterns would be kept, in one reading."""
    a, b, c = (
        low.to(tl.float32, bitcast=True),
        middle.to(tl.float32, bitcast=True),
        high.to(tl.float32, bitcast=True),
    )
    count_a, mass_a = tl.zeros([BLOCK], tl.int32), tl.zeros([BLOCK], tl.float32)
    count_b, mass_b = tl.zeros([BLOCK], tl.int32), tl.zeros([BLOCK], tl.float32)
    count_c, mass_c = tl.zeros([BLOCK], tl.int32), tl.zeros([BLOCK], tl.float32)
    for first in range(0, size, BLOCK):
        weight = _weights(base, words, masked, first + tl.arange(0, BLOCK), size, top, inverse)
        count_a += (weight > a).to(tl.int32)
        count_b += (weight > b).to(tl.int32)
        count_c += (weight > c).to(tl.int32)
        mass_a += tl.where(weight > a, weight, 0.0)
        mass_b += tl.where(weight > b, weight, 0.0)
        mass_c += tl.where(weight > c, weight, 0.0)
    keeps_a = (tl.sum(count_a, axis=0) < most) & (tl.sum(mass_a, axis=0) < share)
    keeps_b = (tl.sum(count_b, axis=0) < most) & (tl.sum(mass_b, axis=0) < share)
    keeps_c = (tl.sum(count_c, axis=0) < most) & (tl.sum(mass_c, axis=0) < share)
    return keeps_a, keeps_b, keeps_c


@triton.jit
def _threshold(base, words, masked, size, top, inverse, total, top_k, top_p, min_p, BLOCK: tl.constexpr):
    """The smallest weight that is kept, and how many of those that equal it are."""
    most = tl.where(top_k > 0, top_k, size)
    share = tl.where(top_p < 1.0, top_p * total, float("inf"))
    # low: a pattern that is not kept (or 0), high: one that is. Weights are positive: patterns are ordered as they are.
    low = tl.maximum(min_p.to(tl.int32, bitcast=True) - 1, 0)
    high = low * 0 + _ONE
    while high - low > 1:
        step = tl.maximum((high - low) // 4, 1)
        a, b, c = low + step, tl.minimum(low + 2 * step, high), tl.minimum(low + 3 * step, high)
        keeps_a, keeps_b, keeps_c = _keeps(base, words, masked, size, top, inverse, a, b, c, most, share, BLOCK)
        low = tl.where(keeps_a, low, tl.where(keeps_b, a, tl.where(keeps_c, b, tl.minimum(c, high - 1))))
        high = tl.where(keeps_a, a, tl.where(keeps_b, b, tl.where(keeps_c, c, high)))
    bound = high.to(tl.float32, bitcast=True)
    count, mass = _above(base, words, masked, size, top, inverse, bound, BLOCK)
    with_equals, _ = _above(base, words, masked, size, top, inverse, low.to(tl.float32, bitcast=True), BLOCK)
    by_share = tl.where(top_p < 1.0, tl.minimum(tl.ceil((share - mass) / bound), 2.0e9), 2.0e9).to(tl.int32)
    equals = tl.minimum(tl.maximum(tl.minimum(most - count, by_share), 1), with_equals - count)
    return bound, equals


@triton.jit
def _draw(
    tokens_ptr, masses_ptr, counts_ptr, logits_ptr, raw_ptr, temperatures_ptr, top_ks_ptr, top_ps_ptr, min_ps_ptr,
    uniforms_ptr, words_ptr, mask_of_ptr, logits_row, raw_row, words_row, size,
    BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0)
    base, raw = logits_ptr + row.to(tl.int64) * logits_row, raw_ptr + row.to(tl.int64) * raw_row
    mask = tl.load(mask_of_ptr + row)
    masked = mask >= 0
    words = words_ptr + tl.maximum(mask, 0).to(tl.int64) * words_row
    # The largest of everything, and of what is allowed: of the logits with its place, of the raw ones for the mass.
    best, place = tl.full([BLOCK], float("-inf"), tl.float32), tl.zeros([BLOCK], tl.int32)
    raw_top, left_top = tl.full([BLOCK], float("-inf"), tl.float32), tl.full([BLOCK], float("-inf"), tl.float32)
    count = tl.zeros([BLOCK], tl.int32)
    for first in range(0, size, BLOCK):
        at = first + tl.arange(0, BLOCK)
        allowed = at < size
        if masked:
            allowed = _allowed(words, at, size, True)
        score = tl.load(base + at, mask=allowed, other=float("-inf")).to(tl.float32)
        plain = tl.load(raw + at, mask=at < size, other=float("-inf")).to(tl.float32)
        place = tl.where(score > best, at, place)
        best = tl.maximum(best, score)
        raw_top = tl.maximum(raw_top, plain)
        left_top = tl.maximum(left_top, tl.where(allowed, plain, float("-inf")))
        count += allowed.to(tl.int32)
    top = tl.max(best, axis=0)
    token = tl.min(tl.where(best == top, place, size), axis=0)
    whole_at, left_at = tl.max(raw_top, axis=0), tl.max(left_top, axis=0)
    counted = tl.sum(count, axis=0)
    nothing = counted.to(tl.float32) * 0.0
    mass = nothing
    if masked & (counted > 0):
        whole, left = tl.zeros([BLOCK], tl.float32), tl.zeros([BLOCK], tl.float32)
        for first in range(0, size, BLOCK):
            at = first + tl.arange(0, BLOCK)
            plain = tl.load(raw + at, mask=at < size, other=float("-inf")).to(tl.float32)
            whole += tl.exp(plain - whole_at)
            allowed = _allowed(words, at, size, True)
            left += tl.exp(tl.where(allowed, plain, float("-inf")) - left_at)
        mass = left_at + tl.log(tl.sum(left, axis=0)) - whole_at - tl.log(tl.sum(whole, axis=0))
    temperature = tl.load(temperatures_ptr + row)
    if (temperature > 0.0) & (counted > 0):
        inverse = 1.0 / temperature
        top_k, top_p, min_p = tl.load(top_ks_ptr + row), tl.load(top_ps_ptr + row), tl.load(min_ps_ptr + row)
        bound, equals = nothing, counted * 0
        if (top_k > 0) | (top_p < 1.0) | (min_p > 0.0):
            _, total = _above(base, words, masked, size, top, inverse, nothing, BLOCK)
            bound, equals = _threshold(base, words, masked, size, top, inverse, total, top_k, top_p, min_p, BLOCK)
        _, total = _above(base, words, masked, size, top, inverse, bound, BLOCK)
        wanted = tl.load(uniforms_ptr + row) * (total + equals.to(tl.float32) * bound)
        reached, met, token = total * 0.0, equals * 0, token * 0 - 1
        last = token
        for first in range(0, size, BLOCK):
            at = first + tl.arange(0, BLOCK)
            weight = _weights(base, words, masked, at, size, top, inverse)
            equal = (weight == bound) & (weight > 0.0)
            rank = met + tl.cumsum(equal.to(tl.int32), axis=0)
            kept = (weight > bound) | (equal & (rank <= equals))
            running = reached + tl.cumsum(tl.where(kept, weight, 0.0), axis=0)
            found = tl.min(tl.where(kept & (running > wanted), at, size), axis=0)
            token = tl.where((token < 0) & (found < size), found, token)
            last = tl.maximum(last, tl.max(tl.where(kept, at, -1), axis=0))
            reached += tl.sum(tl.where(kept, weight, 0.0), axis=0)
            met += tl.sum(equal.to(tl.int32), axis=0)
        token = tl.where(token < 0, last, token)
    tl.store(tokens_ptr + row, token.to(tl.int64))
    tl.store(masses_ptr + row, tl.where(counted > 0, mass, float("-inf")))
    tl.store(counts_ptr + row, counted.to(tl.int64))


def adjust(logits: Tensor, changes: Adjustments) -> None:
    """As the reference; ``logits`` float32, dense in its last dimension."""
    if logits.shape[0] and len(changes.tokens):
        _adjust[(logits.shape[0],)](
            logits, changes.starts, changes.tokens, changes.divisors, changes.addends, logits.stride(0), BLOCK=256
        )


def draw(logits: Tensor, raw: Tensor, rows: SampleRows) -> Drawn:
    """As the reference; logits of any floating type, dense in their last dimension."""
    count, size = logits.shape
    tokens, counts = (torch.empty(count, dtype=torch.int64, device=logits.device) for _ in range(2))
    masses = torch.empty(count, dtype=torch.float32, device=logits.device)
    if count:
        _draw[(count,)](
            tokens, masses, counts, logits, raw, rows.temperatures, rows.top_ks, rows.top_ps, rows.min_ps, rows.uniforms,
            rows.words, rows.mask_of, logits.stride(0), raw.stride(0), rows.words.stride(0), size,
            BLOCK=_BLOCK, num_warps=8,
        )  # fmt: skip
    return Drawn(tokens, masses, counts)
