"""The operators on the device: each checked against its reference among NaN, then timed against its floor."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from clock import rotating, seconds
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from dovetail.kernels import ops
from dovetail.kernels.attention import reference as attention_reference
from dovetail.kernels.linear.device import DeviceWeight, unpack
from dovetail.kernels.linear.packed import Storage
from dovetail.kernels.moe import reference as moe_reference
from dovetail.kernels.moe.stored import quantise_experts
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
    experts: int
    expert_hidden: int
    expert_inner: int
    sets: int


FULL = Sizes(4096, 3584, 18944, 28, 4, 128, 16384, 8192, 32, 151936, 128, 2048, 768, 4)
TINY = Sizes(3, 96, 80, 4, 2, 16, 70, 40, 2, 1000, 4, 64, 48, 2)


@dataclass(frozen=True)
class Batch:
    """See kernels/attention/batch.py."""

    query_starts: tuple[int, ...]
    context_lens: tuple[int, ...]
    block_tables: Tensor


@dataclass(frozen=True)
class Case:
    """``run`` is timed; ``result`` (else what it gives) and ``check`` give the same tensors, of which ``check`` may give the first
    rows. ``moved``: bytes that have to be moved, ``done``: operations, at least. ``rival``: the same by torch; ``within``: how many
    times the usual difference is right."""

    run: Callable[[], Tensor]
    check: Callable[[], Tensor]
    moved: float
    done: float = 0.0
    result: Callable[[], Tensor] | None = None
    rival: Callable[[], Tensor] | None = None
    within: float = 1.0


def difference(found: Tensor, wanted: Tensor) -> float:
    """Norm of the difference over the norm; NaN never passes."""
    found, wanted = found.double(), wanted.double()
    return float((found - wanted).norm() / wanted.norm())


def cases(sizes: Sizes, device: torch.device, dtype: torch.dtype) -> Iterator[tuple[str, Callable[[], list[Case]]]]:
    """Every operator, ``sizes.sets`` times with other data."""

    def rand(*shape: int) -> Tensor:
        return torch.randn(shape, device=device).to(dtype)

    each = torch.empty(0, dtype=dtype).element_size()
    cuda = device.type == "cuda"

    def several(
        make: Callable[..., Case], *more: Any, sets: int = sizes.sets, **options: Any
    ) -> Callable[[], list[Case]]:
        return lambda: [make(sizes, rand, each, *more, **options) for _ in range(sets)]

    few, long, prompt = sizes.batch, sizes.context, sizes.prompt
    yield "attention, decoding", several(_attention, few, 1, long)
    yield "attention, prompt", several(_attention, 1, prompt, prompt, sets=2)
    yield "add_rms_norm", several(_norm)
    yield "silu_mul", several(_gate)
    yield "qkv, rotation, cache", several(_qkv)
    yield "masked draw", several(_draw)
    yield "attention, drafts of 7", several(_attention, few, 8, long)
    yield "attention, drafts of 32", several(_attention, 1, 33, long)
    yield "attention, one long stream", several(_attention, 1, 1, 2 * long)
    if cuda:
        yield "attention, decoding, cache of 8 bits", several(_attention, few, 1, long, cache=torch.float8_e4m3fn)
        yield "qkv, rotation, cache of 8 bits", several(_qkv, cache=torch.float8_e4m3fn)
    for width in (64, 256):
        yield f"attention, decoding, heads of {width}", several(_attention, few, 1, long // 2, width=width)
    for storage in (None, "int8", "int4", *(("fp8",) if cuda else ())):
        for rows in (1, few):
            yield f"linear, {storage or 'invariant'}, rows {rows}", several(_product, rows, storage)
    for storage in (None, "int8", "int4"):
        yield f"experts, {storage or 'as computed'}", several(_experts, storage, sets=1)


def _norm(sizes: Sizes, rand: Callable[..., Tensor], each: int) -> Case:
    x, delta, weight = rand(sizes.rows, sizes.hidden), rand(sizes.rows, sizes.hidden), rand(sizes.hidden)
    return Case(
        lambda: ops.add_rms_norm(x, delta, weight, 1e-6)[1],
        lambda: rms_norm_reference.add_rms_norm(x.float(), delta.float(), weight.float(), 1e-6)[1],
        4 * each * x.numel(),
    )


def _gate(sizes: Sizes, rand: Callable[..., Tensor], each: int) -> Case:
    x = rand(sizes.rows, 2 * sizes.inner)
    return Case(lambda: ops.silu_mul(x), lambda: silu_mul_reference.silu_mul(x.float()), 1.5 * each * x.numel())


def _qkv(sizes: Sizes, rand: Callable[..., Tensor], each: int, cache: torch.dtype | None = None) -> Case:
    heads = sizes.heads + 2 * sizes.kv_heads
    qkv = rand(sizes.rows, heads * sizes.width)
    angles = (rand(sizes.rows, sizes.width // 2), rand(sizes.rows, sizes.width // 2))
    blocks = -(-sizes.rows // 16)
    caches = [
        torch.full((blocks, 16, sizes.kv_heads, sizes.width), float("nan"), device=qkv.device).to(cache or qkv.dtype)
        for _ in range(2)
    ]
    slots = torch.randperm(sizes.rows, device=qkv.device)

    def both(
        prepare: Callable[..., Tensor], given: Tensor, turned: tuple[Tensor, Tensor], held: list[Tensor]
    ) -> Tensor:
        q = prepare(given, None, 1e-6, turned, slots, *held)
        keys = held[0].float() if held[0].element_size() == 1 else held[0]
        return torch.cat((q.flatten(), keys.view(-1, *keys.shape[2:])[slots].flatten().to(q.dtype)))

    wide = (angles[0].float(), angles[1].float())
    narrow = each - (cache or qkv.dtype).itemsize
    return Case(
        lambda: ops.prepare_qkv(qkv, None, 1e-6, angles, slots, *caches),
        lambda: both(
            qkv_reference.prepare_qkv,
            qkv.float(),
            wide,
            [part.float() if cache is None else part.clone() for part in caches],
        ),
        2 * each * qkv.numel() - narrow * sizes.rows * 2 * sizes.kv_heads * sizes.width,
        result=lambda: both(ops.prepare_qkv, qkv, angles, caches),
        within=1.0 if cache is None else 3.0,
    )


def _attention(
    sizes: Sizes,
    rand: Callable[..., Tensor],
    each: int,
    count: int,
    queries: int,
    context: int,
    *,
    width: int | None = None,
    cache: torch.dtype | None = None,
) -> Case:
    blocks, width = -(-context // 16), width or sizes.width
    q = rand(count * queries, sizes.heads, width)
    k, v = (rand(count * blocks, 16, sizes.kv_heads, width) for _ in range(2))
    order = torch.randperm(count * blocks, device=q.device).view(count, blocks)
    for held in (k, v):  # behind every context
        held.view(-1, sizes.kv_heads, width)[
            (order[:, -1:] * 16 + torch.arange(16, device=q.device))[:, (context - 1) % 16 + 1 :].flatten()
        ] = float("nan")
    if cache is not None:
        k, v = k.to(cache), v.to(cache)
    batch = Batch(tuple(range(0, count * queries + 1, queries)), (context,) * count, order)
    plan = ops.plan_attention(batch, 16, None, q.device)

    def check() -> Tensor:
        mine = order[0]
        made = attention_reference.plan_attention(
            Batch((0, queries), (context,), torch.arange(blocks, device=q.device)[None]), 16, None, q.device
        )
        return attention_reference.attend(q[:queries].float(), k[mine].float(), v[mine].float(), made, width**-0.5)

    def flash() -> Tensor:
        wide = [part[order[0]].flatten(0, 1)[:context].transpose(0, 1)[None].contiguous() for part in (k, v)]
        with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
            return F.scaled_dot_product_attention(q.transpose(0, 1)[None], *wide, is_causal=True, enable_gqa=True)

    seen = queries * (context - queries) + queries * (queries + 1) / 2
    return Case(
        lambda: ops.attend(q, k, v, plan, width**-0.5),
        check,
        2.0 * (cache.itemsize if cache is not None else each) * count * context * sizes.kv_heads * width,
        4.0 * count * seen * sizes.heads * width if queries > 64 else 0.0,
        rival=flash if queries == context and q.is_cuda else None,
    )


def _product(sizes: Sizes, rand: Callable[..., Tensor], each: int, rows: int, storage: Storage | None) -> Case:
    x, plain = rand(rows, sizes.hidden), rand(sizes.inner, sizes.hidden)
    weight = DeviceWeight(None, sizes.hidden, plain, plain.dtype) if storage is None else ops.quantise(plain, storage)
    return Case(
        lambda: weight.apply(x),
        lambda: F.linear(x.float(), unpack(weight).float()),
        float(weight.nbytes),
        rival=(lambda: F.linear(x, plain)) if x.is_cuda else None,
        within=3.0 if storage == "fp8" else 1.0,  # its activations are rounded, too
    )


def _experts(sizes: Sizes, rand: Callable[..., Tensor], each: int, storage: Storage | None) -> Case:
    count, inner, per_row = sizes.experts, sizes.expert_inner, min(8, sizes.experts // 2)
    gate_up, down = rand(count, 2 * inner, sizes.expert_hidden) / 16, rand(count, sizes.expert_hidden, inner) / 16
    x = rand(sizes.batch, sizes.expert_hidden)
    chosen, shares = rand(sizes.batch, count).topk(per_row).indices, rand(sizes.batch, per_row).softmax(-1)
    held = [part if storage is None else quantise_experts(part, storage) for part in (gate_up, down)]
    experts = moe_reference.Experts(*held, None, None, ops.silu_mul)
    read = sum(part.nbytes for part in held) / count * len(set(chosen.flatten().tolist()))

    def check() -> Tensor:
        plain = [part.float() if isinstance(part, Tensor) else part.unpacked().float() for part in held]
        wide = moe_reference.Experts(*plain, None, None, silu_mul_reference.silu_mul)
        return moe_reference.mix_experts(x.float(), chosen, shares.float(), wide)

    return Case(lambda: ops.mix_experts(x, chosen, shares, experts), check, float(read))


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
        lambda: draw(logits, logits, rows).tokens,
        check,
        4.0 * each * logits.numel() + words.numel() * 4,
        result=lambda: comparable(draw(logits, logits, rows)),
    )


def figures(
    sizes: Sizes, device: torch.device, dtype: torch.dtype, bandwidth: float, rate: float, repeats: int
) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    """By operator: its difference from the reference, and its share of the ceiling that binds it."""
    bound = 1e-4 if dtype == torch.float32 else 2e-2

    def measured(make: Callable[[], list[Case]]) -> dict[str, Any]:
        alike = make()
        first = alike[0]
        found, wanted = (first.result or first.run)(), first.check()
        error = difference(found[: len(wanted)], wanted)
        taken = seconds(rotating([case.run for case in alike]), device, repeats)
        floor = max(first.moved / bandwidth, first.done / rate)
        row = {
            "difference": error,
            "right": error < first.within * bound,
            "microseconds": taken * 1e6,
            "share_of_ceiling": floor / taken,
            "ceiling": "matrix" if first.done / rate > first.moved / bandwidth else "memory",
        }
        if first.rival is not None:
            row["share_of_torch"] = seconds(first.rival, device, repeats) / taken
        return row

    for name, make in cases(sizes, device, dtype):
        yield name, lambda make=make: measured(make)  # type: ignore[misc]
