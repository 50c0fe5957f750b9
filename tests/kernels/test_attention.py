"""Paged attention against a row-by-row version, with every slot that no sequence owns filled with NaN; by every kernel."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from dovetail.kernels.attention import reference
from dovetail.kernels.ops import attend, paged_attention, plan_attention, write_kv

pytestmark = pytest.mark.usefixtures("kernels")


@dataclass(frozen=True)
class Batch:
    query_starts: tuple[int, ...]
    context_lens: tuple[int, ...]
    block_tables: Tensor


@dataclass(frozen=True)
class Case:
    """Random sequences in a cache of scattered blocks; ``keys[s]`` and ``values[s]`` are ``[context, kv_heads, D]``."""

    batch: Batch
    q: Tensor
    k_cache: Tensor
    v_cache: Tensor
    keys: list[Tensor]
    values: list[Tensor]


def make_case(
    lengths: list[tuple[int, int]], *, heads: int, kv_heads: int, width: int, block_size: int, seed: int = 0
) -> Case:
    """``lengths``: (new rows, context) of each sequence."""
    generator = torch.Generator().manual_seed(seed)
    blocks = [-(-context // block_size) for _, context in lengths]
    num_blocks = sum(blocks) + 2
    order = torch.randperm(num_blocks, generator=generator).tolist()
    k_cache = torch.full((num_blocks, block_size, kv_heads, width), float("nan"))
    v_cache = k_cache.clone()
    tables = torch.zeros(len(lengths), max(blocks), dtype=torch.int64)
    starts, keys, values = [0], [], []
    for s, (queries, context) in enumerate(lengths):
        mine = [order.pop() for _ in range(blocks[s])]
        tables[s, : len(mine)] = torch.tensor(mine)
        k = torch.randn(context, kv_heads, width, generator=generator)
        v = torch.randn(context, kv_heads, width, generator=generator)
        slots = torch.tensor([mine[p // block_size] * block_size + p % block_size for p in range(context)])
        write_kv(k, v, k_cache, v_cache, slots)
        keys.append(k)
        values.append(v)
        starts.append(starts[-1] + queries)
    q = torch.randn(starts[-1], heads, width, generator=generator)
    batch = Batch(tuple(starts), tuple(context for _, context in lengths), tables)
    return Case(batch, q, k_cache, v_cache, keys, values)


def naive(
    case: Case, scale: float, window: int | None, softcap: float | None = None, sinks: Tensor | None = None
) -> Tensor:
    out = torch.empty_like(case.q)
    group = case.q.shape[1] // case.keys[0].shape[1]
    for s, context in enumerate(case.batch.context_lens):
        first, end = case.batch.query_starts[s : s + 2]
        for row in range(first, end):
            position = context - (end - row)
            low = 0 if window is None else max(0, position - window + 1)
            for head in range(case.q.shape[1]):
                k = case.keys[s][low : position + 1, head // group]
                v = case.values[s][low : position + 1, head // group]
                scores = k @ case.q[row, head] * scale
                scores = scores if softcap is None else softcap * torch.tanh(scores / softcap)
                scores = scores if sinks is None else torch.cat((scores, sinks[head : head + 1]))
                out[row, head] = torch.softmax(scores, dim=0)[: len(v)] @ v
    return out


MIXES = {
    "one row": [(1, 1)],
    "whole prompts": [(5, 5), (17, 17), (1, 1)],
    "decode rows of unlike lengths": [(1, 1), (1, 2), (1, 40), (1, 41), (1, 44), (1, 300)],
    "chunks over a prefix": [(7, 30), (7, 31), (3, 90)],
    "everything at once": [(1, 33), (4, 36), (16, 16), (1, 35), (4, 50), (9, 20), (1, 1), (4, 4)],
}


@pytest.mark.parametrize("window", [None, 1, 7, 1000])
@pytest.mark.parametrize("block_size", [1, 16])
@pytest.mark.parametrize("mix", MIXES)
def test_agrees_with_the_naive_version(mix: str, block_size: int, window: int | None) -> None:
    case = make_case(MIXES[mix], heads=6, kv_heads=2, width=8, block_size=block_size)
    out = paged_attention(case.q, case.k_cache, case.v_cache, case.batch, 0.3, window)
    torch.testing.assert_close(out, naive(case, 0.3, window), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("heads", "kv_heads", "width"), [(1, 1, 2), (4, 4, 16), (7, 1, 10), (8, 2, 64), (3, 3, 6), (4, 2, 40), (2, 1, 128)]
)
def test_head_layouts(heads: int, kv_heads: int, width: int) -> None:
    case = make_case(MIXES["everything at once"], heads=heads, kv_heads=kv_heads, width=width, block_size=4)
    out = paged_attention(case.q, case.k_cache, case.v_cache, case.batch, width**-0.5)
    torch.testing.assert_close(out, naive(case, width**-0.5, None), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("window", [None, 6])
def test_a_sequence_does_not_depend_on_its_neighbours(window: int | None) -> None:
    case = make_case(MIXES["everything at once"], heads=4, kv_heads=2, width=8, block_size=4)
    together = paged_attention(case.q, case.k_cache, case.v_cache, case.batch, 0.3, window)
    for s, context in enumerate(case.batch.context_lens):
        first, end = case.batch.query_starts[s : s + 2]
        alone = Batch((0, end - first), (context,), case.batch.block_tables[s : s + 1])
        out = paged_attention(case.q[first:end], case.k_cache, case.v_cache, alone, 0.3, window)
        torch.testing.assert_close(out, together[first:end], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("window", [None, 50])
@pytest.mark.parametrize(("heads", "kv_heads", "width"), [(8, 2, 64), (3, 3, 80), (4, 4, 20)])
def test_a_row_of_a_draft_is_the_row_alone_to_the_bit(
    kernels: str, heads: int, kv_heads: int, width: int, window: int | None
) -> None:
    if kernels == "none":
        pytest.skip("torch's products may differ in the last bit")
    case = make_case([(32, 167)], heads=heads, kv_heads=kv_heads, width=width, block_size=16)
    draft = paged_attention(case.q, case.k_cache, case.v_cache, case.batch, 0.2, window)
    for row in range(0, 32, 3):
        alone = Batch((0, 1), (167 - 31 + row,), case.batch.block_tables)
        out = paged_attention(case.q[row : row + 1], case.k_cache, case.v_cache, alone, 0.2, window)
        assert torch.equal(out[0], draft[row])


@pytest.mark.parametrize("window", [None, 50])
@pytest.mark.parametrize(("kv_heads", "threads"), [(2, 1), (2, 8)])
def test_sequences_that_share_blocks_are_as_alone(
    kernels: str, kv_heads: int, threads: int, window: int | None
) -> None:
    case = make_case([(3, 210), (1, 200), (5, 130)], heads=4, kv_heads=kv_heads, width=32, block_size=8)
    tables = case.batch.block_tables.clone()
    tables[1, :17] = tables[0, :17]
    tables[2, :9] = tables[0, :9]
    torch.set_num_threads(threads)
    together = paged_attention(
        case.q, case.k_cache, case.v_cache, Batch((0, 3, 4, 9), (210, 200, 130), tables), 0.3, window
    )
    for s, context in enumerate(case.batch.context_lens):
        first, end = case.batch.query_starts[s : s + 2]
        alone = Batch((0, end - first), (context,), tables[s : s + 1])
        out = paged_attention(case.q[first:end], case.k_cache, case.v_cache, alone, 0.3, window)
        if kernels == "none":
            torch.testing.assert_close(out, together[first:end], atol=1e-5, rtol=1e-5)
        else:
            assert torch.equal(out, together[first:end])


def test_consecutive_slots_are_read_in_place() -> None:
    batch = Batch((0, 1), (9,), torch.tensor([[2, 3, 4]]))
    (group,) = reference.plan_attention(batch, 4).groups
    assert group.slots == slice(8, 17)
    k_cache, v_cache = torch.full((6, 4, 1, 4), float("nan")), torch.full((6, 4, 1, 4), float("nan"))
    k, v, q = torch.randn(9, 1, 4), torch.randn(9, 1, 4), torch.randn(1, 2, 4)
    write_kv(k, v, k_cache, v_cache, torch.arange(8, 17))
    out = attend(q, k_cache, v_cache, plan_attention(batch, 4), 0.5)
    weights = torch.softmax(k[:, 0] @ q[0].T * 0.5, dim=0)
    torch.testing.assert_close(out[0], weights.T @ v[:, 0], atol=1e-5, rtol=1e-5)


def test_rows_of_a_wider_tensor() -> None:
    case = make_case(MIXES["everything at once"], heads=4, kv_heads=2, width=8, block_size=4)
    wide = torch.cat((case.q, case.q), dim=-1)
    out = paged_attention(wide[..., :8], case.k_cache, case.v_cache, case.batch, 0.3)
    torch.testing.assert_close(out, naive(case, 0.3, None), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("starts", "contexts"), [((0, 0), (3,)), ((0, 4), (3,)), ((0, 1, 1), (3, 3))])
def test_a_sequence_without_rows_or_with_too_many_is_refused(
    starts: tuple[int, ...], contexts: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match="new rows and a context of 3"):
        plan_attention(Batch(starts, contexts, torch.zeros(2, 1, dtype=torch.int64)), 4)


def test_write_kv_touches_only_its_slots() -> None:
    k_cache, v_cache = torch.zeros(3, 2, 1, 2), torch.zeros(3, 2, 1, 2)
    write_kv(torch.ones(2, 1, 2), torch.full((2, 1, 2), 2.0), k_cache, v_cache, torch.tensor([5, 0]))
    assert k_cache.view(-1, 2)[:, 0].tolist() == [1, 0, 0, 0, 0, 1]
    assert v_cache.view(-1, 2)[:, 1].tolist() == [2, 0, 0, 0, 0, 2]


def test_few_and_many_rows_in_one_batch() -> None:
    case = make_case([(1, 70), (50, 60), (32, 65), (33, 200), (2, 2)], heads=4, kv_heads=2, width=16, block_size=4)
    for window in (None, 7):
        out = paged_attention(case.q, case.k_cache, case.v_cache, case.batch, 0.25, window)
        torch.testing.assert_close(out, naive(case, 0.25, window), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("window", [None, 7])
@pytest.mark.parametrize(("softcap", "sinks"), [(1.5, False), (None, True), (0.7, True)])
def test_soft_caps_and_sinks(softcap: float | None, sinks: bool, window: int | None) -> None:
    lengths = [*MIXES["everything at once"], (50, 60), (33, 200)]
    case = make_case(lengths, heads=6, kv_heads=2, width=24, block_size=4)
    some = torch.tensor([0.5, -2.0, 30.0, 0.0, 3.0, -90.0]) if sinks else None
    plan = plan_attention(case.batch, 4, window)
    for rounded in (False, True):
        out = attend(case.q, case.k_cache, case.v_cache, plan, 0.3, rounded=rounded, softcap=softcap, sinks=some)
        torch.testing.assert_close(out, naive(case, 0.3, window, softcap, some), atol=1e-5, rtol=1e-5)


def test_attention_with_large_scores() -> None:
    case = make_case([(1, 300), (3, 130)], heads=2, kv_heads=1, width=16, block_size=4)
    out = paged_attention(case.q * 30, case.k_cache, case.v_cache, case.batch, 1.0)
    reference = naive(case, 30.0, None)
    torch.testing.assert_close(out, reference, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_narrower_cache_goes_by_the_reference(dtype: torch.dtype) -> None:
    case = make_case([(1, 9), (3, 5)], heads=2, kv_heads=1, width=8, block_size=4)
    k_cache, v_cache = case.k_cache.to(dtype), case.v_cache.to(dtype)
    out = paged_attention(case.q, k_cache, v_cache, case.batch, 0.3)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, naive(case, 0.3, None), atol=0.05, rtol=0.05)


def test_a_strided_query() -> None:
    case = make_case([(2, 9)], heads=2, kv_heads=1, width=8, block_size=4)
    fused = torch.cat((case.q.view(2, 16), torch.full((2, 5), float("nan"))), dim=1)
    q = fused[:, :16].view(2, 2, 8)
    batch = Batch(case.batch.query_starts, case.batch.context_lens, case.batch.block_tables.to(torch.int32))
    torch.testing.assert_close(
        paged_attention(q, case.k_cache, case.v_cache, batch, 0.3), naive(case, 0.3, None), atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("window", [None, 7, 100])
@pytest.mark.parametrize(("heads", "kv_heads", "width"), [(2, 2, 16), (7, 1, 64), (4, 2, 80), (3, 3, 8)])
def test_prompts_with_bfloat16_operands(heads: int, kv_heads: int, width: int, window: int | None) -> None:
    lengths = [(50, 50), (1, 70), (33, 300), (130, 131), (2, 2)]
    case = make_case(lengths, heads=heads, kv_heads=kv_heads, width=width, block_size=4)
    scale = width**-0.5
    out = paged_attention(case.q, case.k_cache, case.v_cache, case.batch, scale, window, rounded=True)
    torch.testing.assert_close(out, naive(case, scale, window), atol=0.03, rtol=0.03)
