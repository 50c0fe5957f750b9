"""The operators on the device: each checked against its reference among NaN, then timed against its floor."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from clock import rotating, seconds
from torch import Tensor

from dovetail.kernels import ops
from dovetail.kernels.attention import reference as attention_reference
from dovetail.kernels.moe import reference as moe_reference
from dovetail.kernels.qkv import reference as qkv_reference
from dovetail.kernels.rms_norm import reference as rms_norm_reference
from dovetail.kernels.sampling import reference as sampling_reference
from dovetail.kernels.sampling.rows import Drawn, SampleRows
from dovetail.kernels.silu_mul import reference as silu_mul_reference


@dataclass(frozen=True)
class Sizes:
    """How large the operators' inputs are. ``sets``: of inputs in turn, so that none is found in a cache."""

    rows: int
    hidden: int
    inner: int
    heads: int
    kv_heads: int
    width: int
    context: int
    prompt: int
    batch: int
    vocabulary: int
    sets: int


FULL = Sizes(4096, 3584, 18944, 28, 4, 128, 16384, 8192, 32, 151936, 4)
TINY = Sizes(3, 96, 80, 4, 2, 16, 70, 40, 2, 1000, 2)


@dataclass(frozen=True)
class Batch:
    """See kernels/attention/batch.py."""

    query_starts: tuple[int, ...]
    context_lens: tuple[int, ...]
    block_tables: Tensor


@dataclass(frozen=True)
class Case:
    """``run`` is timed; ``result`` (else what it gives) and ``check`` give the same tensors, of which ``check`` may give the first
    rows. ``moved``: bytes that have to be moved, ``done``: operations, at least."""

    name: str
    run: Callable[[], Tensor]
    check: Callable[[], Tensor]
    moved: float
    done: float = 0.0
    result: Callable[[], Tensor] | None = None


def difference(found: Tensor, wanted: Tensor) -> float:
    """Norm of the difference over the norm; NaN never passes."""
    found, wanted = found.double(), wanted.double()
    return float((found - wanted).norm() / wanted.norm())


def cases(sizes: Sizes, device: torch.device, dtype: torch.dtype) -> Iterator[list[Case]]:
    """Every operator, ``sizes.sets`` times with other data."""

    def rand(*shape: int) -> Tensor:
        return torch.randn(shape, device=device).to(dtype)

    each = torch.empty(0, dtype=dtype).element_size()
    for make in (_norm, _gate, _qkv):
        yield [make(sizes, rand, each) for _ in range(sizes.sets)]
    yield [
        _attention("attention, decoding", sizes, rand, each, sizes.batch, 1, sizes.context) for _ in range(sizes.sets)
    ]
    yield [
        _attention("attention, drafts of 7", sizes, rand, each, sizes.batch, 8, sizes.context)
        for _ in range(sizes.sets)
    ]
    yield [
        _attention("attention, one long stream", sizes, rand, each, 1, 1, 2 * sizes.context) for _ in range(sizes.sets)
    ]
    yield [_attention("attention, prompt", sizes, rand, each, 1, sizes.prompt, sizes.prompt) for _ in range(2)]
    for storage in ("int8", "int4"):
        yield [_product(storage, sizes, rand) for _ in range(sizes.sets)]
    yield [_experts(sizes, rand, each)]
    yield [_draw(sizes, rand, each) for _ in range(sizes.sets)]


def _norm(sizes: Sizes, rand: Callable[..., Tensor], each: int) -> Case:
    x, delta, weight = rand(sizes.rows, sizes.hidden), rand(sizes.rows, sizes.hidden), rand(sizes.hidden)
    return Case(
        "add_rms_norm",
        lambda: ops.add_rms_norm(x, delta, weight, 1e-6)[1],
        lambda: rms_norm_reference.add_rms_norm(x.float(), delta.float(), weight.float(), 1e-6)[1],
        4 * each * x.numel(),
    )


def _gate(sizes: Sizes, rand: Callable[..., Tensor], each: int) -> Case:
    x = rand(sizes.rows, 2 * sizes.inner)
    return Case(
        "silu_mul", lambda: ops.silu_mul(x), lambda: silu_mul_reference.silu_mul(x.float()), 1.5 * each * x.numel()
    )


def _qkv(sizes: Sizes, rand: Callable[..., Tensor], each: int) -> Case:
    heads = sizes.heads + 2 * sizes.kv_heads
    qkv = rand(sizes.rows, heads * sizes.width)
    angles = (rand(sizes.rows, sizes.width // 2), rand(sizes.rows, sizes.width // 2))
    blocks = -(-sizes.rows // 16)
    caches = [
        torch.full((blocks, 16, sizes.kv_heads, sizes.width), float("nan"), device=qkv.device).to(qkv.dtype)
        for _ in range(2)
    ]
    slots = torch.randperm(sizes.rows, device=qkv.device)

    def both(
        prepare: Callable[..., Tensor], given: Tensor, turned: tuple[Tensor, Tensor], held: list[Tensor]
    ) -> Tensor:
        q = prepare(given, None, 1e-6, turned, slots, *held)
        return torch.cat((q.flatten(), held[0].view(-1, *held[0].shape[2:])[slots].flatten()))

    wide = (angles[0].float(), angles[1].float())
    return Case(
        "qkv, rotation, cache",
        lambda: ops.prepare_qkv(qkv, None, 1e-6, angles, slots, *caches),
        lambda: both(qkv_reference.prepare_qkv, qkv.float(), wide, [cache.float() for cache in caches]),
        2 * each * qkv.numel(),
        result=lambda: both(ops.prepare_qkv, qkv, angles, caches),
    )


def _attention(name: str, sizes: Sizes, rand: Callable[..., Tensor], each: int, count: int, queries: int, context: int) -> Case:  # fmt: skip
    blocks = -(-context // 16)
    q = rand(count * queries, sizes.heads, sizes.width)
    k, v = (rand(count * blocks, 16, sizes.kv_heads, sizes.width) for _ in range(2))
    order = torch.randperm(count * blocks, device=q.device).view(count, blocks)
    for cache in (k, v):  # behind every context
        cache.view(-1, sizes.kv_heads, sizes.width)[
            (order[:, -1:] * 16 + torch.arange(16, device=q.device))[:, (context - 1) % 16 + 1 :].flatten()
        ] = float("nan")
    batch = Batch(tuple(range(0, count * queries + 1, queries)), (context,) * count, order)
    plan = ops.plan_attention(batch, 16, None, q.device)
    few = Batch((0, queries), (context,), order[:1])

    def check() -> Tensor:
        made = attention_reference.plan_attention(few, 16, None, q.device)
        return attention_reference.attend(q[:queries].float(), k.float(), v.float(), made, sizes.width**-0.5)

    seen = queries * (context - queries) + queries * (queries + 1) / 2
    return Case(
        name,
        lambda: ops.attend(q, k, v, plan, sizes.width**-0.5),
        check,
        2.0 * each * count * context * sizes.kv_heads * sizes.width,
        4.0 * count * seen * sizes.heads * sizes.width if queries > 64 else 0.0,
    )


def _product(storage: Any, sizes: Sizes, rand: Callable[..., Tensor]) -> Case:
    x, weight = rand(sizes.batch, sizes.hidden), ops.quantise(rand(sizes.inner, sizes.hidden), storage)
    from dovetail.kernels.linear.device import unpack

    return Case(
        f"linear, {storage}",
        lambda: weight.apply(x),
        lambda: F.linear(x.float(), unpack(weight).float()),
        float(weight.nbytes),
    )


def _experts(sizes: Sizes, rand: Callable[..., Tensor], each: int) -> Case:
    count, inner = 16, sizes.inner // 16
    experts = moe_reference.Experts(
        rand(count, 2 * inner, sizes.hidden) / 16, rand(count, sizes.hidden, inner) / 16, None, None, ops.silu_mul
    )
    x = rand(sizes.batch, sizes.hidden)
    chosen, shares = rand(sizes.batch, count).topk(4).indices, rand(sizes.batch, 4).softmax(-1)
    wide = moe_reference.Experts(experts.gate_up.float(), experts.down.float(), None, None, silu_mul_reference.silu_mul)
    read = len(set(chosen.flatten().tolist())) * 3 * inner * sizes.hidden * each
    return Case(
        "experts",
        lambda: ops.mix_experts(x, chosen, shares, experts),
        lambda: moe_reference.mix_experts(x.float(), chosen, shares.float(), wide),
        float(read),
    )


def _draw(sizes: Sizes, rand: Callable[..., Tensor], each: int) -> Case:
    """Masked rows, every other one drawn from the likeliest; the floor reads a row four times: maxima, mass, threshold, draw."""
    logits = rand(sizes.batch, sizes.vocabulary)
    device = logits.device
    words = torch.randint(-(2**31), 2**31, (sizes.batch, (sizes.vocabulary + 31) // 32), device=device)
    greedy = torch.arange(sizes.batch, device=device) % 2 == 0
    rows = SampleRows(
        temperatures=torch.where(greedy, 0.0, 0.8),
        top_ks=torch.full((sizes.batch,), 40, dtype=torch.int32, device=device),
        top_ps=torch.full((sizes.batch,), 0.95, device=device),
        min_ps=torch.zeros(sizes.batch, device=device),
        uniforms=torch.rand(sizes.batch, device=device),
        words=words.to(torch.int32),
        mask_of=torch.arange(sizes.batch, dtype=torch.int32, device=device),
    )

    def comparable(found: Drawn) -> Tensor:
        """Mass that the masks left, and the likeliest tokens: what no rounding of a sum decides."""
        return torch.cat((found.masses.cpu(), found.tokens.cpu()[::2].float()))

    def check() -> Tensor:
        """The reference is of the host."""
        plain, given = logits.cpu(), SampleRows(**{name: value.cpu() for name, value in vars(rows).items()})
        return comparable(sampling_reference.draw(plain, plain, given))

    draw = ops.draw_tokens if device.type == "cuda" else sampling_reference.draw
    return Case(
        "masked draw",
        lambda: draw(logits, logits, rows).tokens,
        check,
        4.0 * each * logits.numel() + words.numel() * 4,
        result=lambda: comparable(draw(logits, logits, rows)),
    )


def measure(
    sizes: Sizes, device: torch.device, dtype: torch.dtype, bandwidth: float, rate: float, repeats: int
) -> list[dict[str, Any]]:
    """One row per operator: its difference from the reference, and its share of the ceiling that binds it."""
    bound = 1e-4 if dtype == torch.float32 else 2e-2
    rows = []
    for alike in cases(sizes, device, dtype):
        first = alike[0]
        found, wanted = (first.result or first.run)(), first.check()
        error = difference(found[: len(wanted)], wanted)
        taken = seconds(rotating([case.run for case in alike]), device, repeats)
        floor = max(first.moved / bandwidth, first.done / rate)
        rows.append(
            {
                "operator": first.name,
                "difference": error,
                "right": error < bound,
                "microseconds": taken * 1e6,
                "share_of_ceiling": floor / taken,
                "ceiling": "matrix" if first.done / rate > first.moved / bandwidth else "memory",
            }
        )
    return rows
