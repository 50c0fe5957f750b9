"""The Triton attention against a version row by row: ragged batches among NaN, splits, windows, sinks, caps, caches of 8 bits."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from dovetail.kernels import gpu
from dovetail.kernels.attention import device_plan
from dovetail.kernels.attention.device_plan import DevicePlan
from dovetail.kernels.attention.reference import write_kv

pytestmark = pytest.mark.triton


@dataclass(frozen=True)
class Batch:
    query_starts: tuple[int, ...]
    context_lens: tuple[int, ...]
    block_tables: Tensor


@dataclass(frozen=True)
class Case:
    """Sequences in scattered blocks; ``keys[s]`` and ``values[s]`` are ``[context, kv_heads, D]`` as the cache holds them."""

    batch: Batch
    q: Tensor
    k_cache: Tensor
    v_cache: Tensor
    keys: list[Tensor]
    values: list[Tensor]


def make_case(
    lengths: list[tuple[int, int]],
    heads: int = 6,
    kv_heads: int = 2,
    width: int = 16,
    block_size: int = 4,
    cache_type: torch.dtype = torch.float32,
    dtype: torch.dtype = torch.float32,
) -> Case:
    """``lengths``: (new rows, context) of each sequence."""
    generator = torch.Generator(torch.get_default_device()).manual_seed(len(lengths) + width)
    blocks = [-(-context // block_size) for _, context in lengths]
    order = torch.randperm(sum(blocks) + 2, generator=generator).tolist()
    k_cache = torch.full((len(order), block_size, kv_heads, width), float("nan")).to(cache_type)
    v_cache = k_cache.clone()
    tables = torch.zeros(len(lengths), max(blocks) + 1, dtype=torch.int64)
    starts, keys, values = [0], [], []
    for s, (queries, context) in enumerate(lengths):
        mine = torch.tensor([order.pop() for _ in range(blocks[s])])
        tables[s, : len(mine)] = mine
        at = torch.arange(context)
        k, v = (torch.randn(context, kv_heads, width, generator=generator) for _ in range(2))
        write_kv(k, v, k_cache, v_cache, mine[at // block_size] * block_size + at % block_size)
        keys.append(k.to(cache_type).to(dtype).float())
        values.append(v.to(cache_type).to(dtype).float())
        starts.append(starts[-1] + queries)
    q = torch.randn(starts[-1], heads, width, generator=generator).to(dtype)
    batch = Batch(tuple(starts), tuple(context for _, context in lengths), tables)
    return Case(batch, q, k_cache, v_cache, keys, values)


def naive(
    case: Case, scale: float, window: int | None = None, softcap: float | None = None, sinks: Tensor | None = None
) -> Tensor:
    out = torch.empty(case.q.shape)
    group = case.q.shape[1] // case.keys[0].shape[1]
    for s, context in enumerate(case.batch.context_lens):
        first, end = case.batch.query_starts[s : s + 2]
        for row in range(first, end):
            position = context - (end - row)
            low = 0 if window is None else max(0, position - window + 1)
            for head in range(case.q.shape[1]):
                k, v = (each[s][low : position + 1, head // group] for each in (case.keys, case.values))
                scores = k @ case.q[row, head].float() * scale
                if softcap is not None:
                    scores = softcap * torch.tanh(scores / softcap)
                if sinks is not None:
                    scores = torch.cat((scores, sinks[head : head + 1]))
                out[row, head] = torch.softmax(scores, dim=0)[: len(v)] @ v
    return out


def attend(
    case: Case, scale: float, window: int | None = None, *, invariant: bool = False, **options: object
) -> Tensor:
    from dovetail.kernels.attention import triton

    plan = DevicePlan.of(case.batch, window, case.q.device, invariant=invariant)
    return triton.attend(case.q, case.k_cache, case.v_cache, plan, scale, **options)  # type: ignore[arg-type]


def near(one: Tensor, other: Tensor, loose: float = 1e-5) -> None:
    torch.testing.assert_close(one.float(), other, atol=loose, rtol=loose)


MIXES = {
    "one row": [(1, 1)],
    "decode rows of unlike lengths": [(1, 1), (1, 2), (1, 64), (1, 65), (1, 300)],
    "drafts over a prefix": [(5, 30), (2, 200), (9, 9)],
    "wide drafts, several tiles each": [(40, 300), (40, 41)],
    "everything at once": [(1, 33), (4, 36), (70, 150), (1, 260), (50, 50)],
}


@pytest.mark.parametrize("few", [512, 64])
@pytest.mark.parametrize("window", [None, 1, 70])
@pytest.mark.parametrize("mix", MIXES)
def test_agrees_with_the_naive_version(mix: str, window: int | None, few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_plan, "FEW", few)
    case = make_case(MIXES[mix])
    near(attend(case, 0.3, window), naive(case, 0.3, window))


def test_long_contexts_are_split() -> None:
    case = make_case([(1, 700), (2, 300)], heads=2, kv_heads=1, block_size=16)
    plan = DevicePlan.of(case.batch, None, case.q.device)
    assert plan.tiles(2, 1)[0].splits > 1
    near(attend(case, 0.3), naive(case, 0.3))


@pytest.mark.parametrize(
    ("heads", "kv_heads", "width", "block_size"),
    [(1, 1, 2, 1), (7, 1, 64, 16), (8, 2, 80, 3), (2, 2, 256, 16), (20, 1, 10, 7), (3, 3, 128, 4)],
)
def test_head_layouts(heads: int, kv_heads: int, width: int, block_size: int) -> None:
    case = make_case([(1, 70), (3, 20), (40, 90)], heads, kv_heads, width, block_size)
    near(attend(case, width**-0.5), naive(case, width**-0.5))


@pytest.mark.parametrize("window", [None, 40])
@pytest.mark.parametrize("softcap", [None, 2.0])
@pytest.mark.parametrize("with_sinks", [False, True])
def test_sinks_and_caps(softcap: float | None, with_sinks: bool, window: int | None) -> None:
    case = make_case([(1, 500), (3, 20), (30, 60)], heads=4)
    sinks = torch.randn(4) if with_sinks else None
    near(attend(case, 0.7, window, softcap=softcap, sinks=sinks), naive(case, 0.7, window, softcap, sinks))


@pytest.mark.parametrize(
    ("cache_type", "dtype", "loose"),
    [
        (torch.float16, torch.float16, 2e-3),
        (torch.float8_e4m3fn, torch.float32, 1e-5),
        (torch.float8_e4m3fn, torch.float16, 2e-3),
        *(
            ()
            if gpu.INTERPRETED
            else ((torch.bfloat16, torch.bfloat16, 1e-2), (torch.float8_e4m3fn, torch.bfloat16, 1e-2))
        ),
    ],
)  # the interpreter multiplies matrices of bfloat16 as if they were integers
def test_narrow_types(cache_type: torch.dtype, dtype: torch.dtype, loose: float) -> None:
    case = make_case([(1, 200), (3, 20), (30, 60)], cache_type=cache_type, dtype=dtype)
    near(attend(case, 0.3), naive(case, 0.3), loose)


@pytest.mark.parametrize("window", [None, 600])
def test_invariant_rows_are_the_same_bits_in_any_batch(window: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """However its prompt is cut, and whatever stands beside it."""
    monkeypatch.setattr(device_plan, "SPLIT_KEYS", 128)
    from dovetail.kernels.attention import triton

    monkeypatch.setattr(triton, "SPLIT_KEYS", 128)
    context = 330
    case = make_case([(context, context), (1, 1030)], heads=3, kv_heads=1, block_size=16)
    sinks = torch.randn(3)
    whole = attend(case, 0.3, window, invariant=True, sinks=sinks)
    near(whole, naive(case, 0.3, window, sinks=sinks))
    table = case.batch.block_tables[:1]
    for first, end in [(0, 100), (100, 117), (117, 118), (118, 330)]:
        piece = Batch((0, end - first), (end,), table)
        part = Case(piece, case.q[first:end], case.k_cache, case.v_cache, [], [])
        assert torch.equal(attend(part, 0.3, window, invariant=True, sinks=sinks), whole[first:end])


def test_forks_of_one_sequence_read_their_own_past() -> None:
    """As branches of drafts are laid out: shared blocks, then own ones, into which what comes before a branch is copied first."""
    from dovetail.kernels.attention import triton

    case = make_case([(3, 21)], heads=4, kv_heads=2, block_size=8)
    table, size = case.batch.block_tables[0], 8
    fork = next(block for block in range(len(case.k_cache)) if block not in table[:3].tolist())
    # One branch of two rows behind the last known token, at position 18: its own block holds 16 .. 20.
    sources = torch.tensor([int(table[2]) * size + at for at in range(3)], dtype=torch.int32)
    targets = torch.tensor([fork * size + at for at in range(3)], dtype=torch.int32)
    for cache in (case.k_cache, case.v_cache):
        cache[fork, 3:5] = torch.randn(2, 2, 16)
    triton.copy_slots(case.k_cache, case.v_cache, sources, targets)
    batch = Batch((0, 3, 5), (21, 21), torch.stack((table, torch.cat((table[:2], torch.tensor([fork, 0]))))))
    own = [[cache[:, :].reshape(-1, 2, 16)[batch.block_tables[s].repeat_interleave(size) * size + torch.arange(size).repeat(4)][:21]
            for s in range(2)] for cache in (case.k_cache, case.v_cache)]  # fmt: skip
    assert torch.equal(own[0][1][:19], own[0][0][:19]) and not torch.equal(own[0][1][19:], own[0][0][19:])
    forked = Case(batch, torch.cat((case.q, torch.randn(2, 4, 16))), case.k_cache, case.v_cache, own[0], own[1])
    near(attend(forked, 0.3), naive(forked, 0.3))


@pytest.mark.parametrize("kind", [torch.float32, torch.float16, torch.float8_e4m3fn])
def test_slots_are_copied_as_they_are(kind: torch.dtype) -> None:
    from dovetail.kernels.attention import reference, triton

    caches = [torch.randn(3, 4, 2, 5).to(kind) for _ in range(2)]
    wanted = [cache.clone() for cache in caches]
    sources, targets = torch.tensor([1, 7, 1]), torch.tensor([11, 0, 4])
    for cache in wanted:
        reference.copy_slots(cache, sources, targets)
    triton.copy_slots(*caches, sources, targets)
    assert all(torch.equal(a.float(), b.float()) for a, b in zip(caches, wanted, strict=True))


def test_a_sequence_without_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="new rows"):
        DevicePlan.of(Batch((0, 0), (3,), torch.zeros(1, 1, dtype=torch.int64)), None, "cpu")


def test_scores_far_apart_stay_finite() -> None:
    case = make_case([(1, 300), (2, 100)], heads=2, kv_heads=1)
    assert math.isfinite(float(attend(case, 1e4).sum()))
