"""The scheduler alone, driven by hypothesis: budgets kept, blocks accounted for, nobody starves."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail.serve.constrain.base import Draft
from dovetail.serve.engine.native.blocks import BlockPool
from dovetail.serve.engine.native.scheduler import Limits, Scheduler
from dovetail.serve.engine.native.sequence import Sequence, total_rows
from dovetail.serve.types import Request, SamplingParams

request_shape = st.fixed_dictionaries(
    {
        "prompt": st.integers(1, 40),
        "max_tokens": st.integers(1, 20),
        "priority": st.integers(0, 2),
        "arrives": st.integers(0, 10),
        "drafts": st.integers(0, 6),
    }
)


def sequence_of(shape: dict[str, int], number: int) -> Sequence:
    request = Request(
        request_id=str(number),
        prompt=tuple(range(1, shape["prompt"] + 1)),
        sampling=SamplingParams(max_tokens=shape["max_tokens"]),
        priority=shape["priority"],
    )
    nothing: Any = None
    return Sequence(request, 0, list(request.prompt), nothing, None, None)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(request_shape, min_size=1, max_size=8),
    st.integers(1, 30),
    st.integers(1, 4),
    st.integers(15, 40),
)
def test_everything_ends_and_nothing_leaks(
    shapes: list[dict[str, int]], batched_tokens: int, num_seqs: int, blocks: int
) -> None:
    pool = BlockPool(blocks, 4)
    scheduler = Scheduler(pool, Limits(num_seqs, batched_tokens, max_draft=4))
    waiting = {number: sequence_of(shape, number) for number, shape in enumerate(shapes)}
    drafts = {sequence: shapes[number]["drafts"] for number, sequence in waiting.items()}
    done: list[Sequence] = []
    for step in range(5000):
        for number in [n for n in waiting if shapes[n]["arrives"] <= step]:
            scheduler.add(waiting.pop(number))
        work = scheduler.plan(lambda sequence, limit: Draft([0] * min(limit, drafts[sequence])))
        scheduler.check()
        assert total_rows(work) <= batched_tokens
        assert len({share.sequence for share in work}) == len(work) <= num_seqs
        assert work or not (scheduler.running or scheduler.waiting), "there is work, and none was planned"
        for share in work:
            sequence = share.sequence
            assert 1 <= share.count <= sequence.pending
            assert not share.draft or share.samples
            assert len(share.draft) < max(1, sequence.left), "a draft may not outrun the budget"
            assert sequence.computed + share.count + len(share.draft) <= len(sequence.table.blocks) * 4
            sequence.computed += share.count
            scheduler.computed(sequence)
            if share.samples:
                sequence.tokens.append(0)
                if sequence.left == 0:
                    done.append(sequence)
                    scheduler.remove(sequence)
        if len(done) == len(shapes):
            break
    assert len(done) == len(shapes)
    assert pool.free == blocks


def test_running_sequences_keep_their_row_while_a_long_prompt_comes_in() -> None:
    pool = BlockPool(1000, 4)
    scheduler = Scheduler(pool, Limits(4, 16))
    short = sequence_of({"prompt": 4, "max_tokens": 50, "priority": 0}, 0)
    scheduler.add(short)
    for share in scheduler.plan(lambda *_: Draft(())):
        share.sequence.computed += share.count
        share.sequence.tokens.append(0)
    scheduler.add(sequence_of({"prompt": 400, "max_tokens": 5, "priority": 0}, 1))
    for _ in range(20):
        work = scheduler.plan(lambda *_: Draft(()))
        assert work[0].sequence is short
        assert total_rows(work) == 16
        for share in work:
            share.sequence.computed += share.count
            if share.samples:
                share.sequence.tokens.append(0)


def test_lower_priority_value_runs_first() -> None:
    scheduler = Scheduler(BlockPool(100, 4), Limits(1, 64))
    late = sequence_of({"prompt": 4, "max_tokens": 5, "priority": 5}, 0)
    soon = sequence_of({"prompt": 4, "max_tokens": 5, "priority": 0}, 1)
    scheduler.add(late)
    scheduler.add(soon)
    assert [share.sequence for share in scheduler.plan(lambda *_: Draft(()))] == [soon]
