"""Steps that begin before the tokens of the one before are known: which rows of them are used, who waits, and when none begins."""

from __future__ import annotations

from typing import Any

import torch

from dovetail.kernels.gpu import Fetched
from dovetail.serve.constrain.base import Draft
from dovetail.serve.engine.native.ahead import Ahead
from dovetail.serve.engine.native.blocks import BlockPool
from dovetail.serve.engine.native.scheduler import Limits, Scheduler
from dovetail.serve.engine.native.sequence import Sequence, Work
from dovetail.serve.types import Request, SamplingParams


class Captured:
    """A runner that can begin any step: each row of its logits is the token that it was given."""

    captured = True

    def __init__(self) -> None:
        self.begun: list[list[int]] = []

    def forward_ahead(self, work: list[Work], tokens: torch.Tensor) -> torch.Tensor:
        self.begun.append(tokens.tolist())
        return tokens.unsqueeze(1).float()


def decoding(count: int, blocks: int = 20) -> tuple[Scheduler, Ahead, Captured, list[Work]]:
    """So many sequences whose prompts are computed, and the step in which they decode."""
    scheduler, nothing = Scheduler(BlockPool(blocks, 4), Limits(8, 64)), None
    sequences = []
    for number in range(count):
        request = Request(request_id=str(number), prompt=(1, 2, 3), sampling=SamplingParams(max_tokens=9))
        any_text: Any = nothing
        sequences.append(Sequence(request, 0, [1, 2, 3], any_text, None, None))
        scheduler.add(sequences[-1])
    scheduler.plan(lambda sequence, limit: Draft(()))
    for sequence in sequences:
        sequence.computed = 3
        sequence.tokens.append(9)
    runner = Captured()
    any_runner: Any = runner
    return scheduler, Ahead(any_runner, scheduler), runner, scheduler.plan(lambda sequence, limit: Draft(()))


def drawn(work: list[Work], tokens: list[int]) -> None:
    """The host learns the tokens."""
    for share, token in zip(work, tokens, strict=True):
        share.sequence.computed += 1
        share.sequence.tokens.append(token)


def begin(ahead: Ahead, work: list[Work], tokens: list[int]) -> None:
    assert ahead.may_follow(work)
    chosen = torch.tensor(tokens)
    ahead.begin(work, chosen, Fetched(torch.stack((chosen, chosen, chosen)).double()))


def test_what_was_begun_is_used_in_the_order_of_the_plan() -> None:
    scheduler, ahead, runner, work = decoding(3)
    assert ahead.take(work) == (work, None)
    begin(ahead, work, [5, 6, 7])
    assert ahead.under_way and runner.begun == [[5, 6, 7]]
    drawn(work, [5, 6, 7])
    planned = scheduler.plan(lambda sequence, limit: Draft(()))
    used, logits = ahead.take(planned[::-1])
    assert used == planned[::-1] and logits is not None and logits.flatten().tolist() == [7, 6, 5]
    assert not ahead.under_way and ahead.may_follow(used)


def test_what_has_another_token_or_has_joined_waits_for_a_step() -> None:
    scheduler, ahead, _, work = decoding(3)
    begin(ahead, work, [5, 6, 7])
    drawn(work, [5, 8, 7])  # the second one was refused, and drawn again
    scheduler.remove(work[2].sequence)  # the third one has ended
    request = Request(request_id="new", prompt=(4, 4), sampling=SamplingParams(max_tokens=2))
    any_text: Any = None
    scheduler.add(Sequence(request, 0, [4, 4], any_text, None, None))
    planned = scheduler.plan(lambda sequence, limit: Draft(()))
    used, logits = ahead.take(planned)
    assert [share.sequence for share in used] == [work[0].sequence]
    assert logits is not None and logits.flatten().tolist() == [5]
    assert not ahead.may_follow(used), "the others have waited long enough"
    drawn(used, [3])
    rest = scheduler.plan(lambda sequence, limit: Draft(()))
    assert len(rest) == 3 and ahead.take(rest) == (rest, None), "nothing of it was lost"
    scheduler.check()


def test_where_nothing_fits_the_plan_all_of_it_is_computed() -> None:
    scheduler, ahead, _, work = decoding(1)
    begin(ahead, work, [5])
    drawn(work, [6])
    planned = scheduler.plan(lambda sequence, limit: Draft(()))
    assert ahead.take(planned) == (planned, None)


def test_no_step_begins_early_for_drafts_or_without_blocks_or_for_ever() -> None:
    scheduler, ahead, runner, work = decoding(1, blocks=2)
    ahead.wished = True
    assert not ahead.may_follow(work) and ahead.may_follow(work)
    drafting = [Work(work[0].sequence, 1, True, (4, 4))]
    assert not ahead.may_follow(drafting)
    begun = 0
    for token in range(40):
        taken, _ = ahead.take(work)
        if ahead.may_follow(taken):
            tokens = torch.tensor([token])
            ahead.begin(taken, tokens, Fetched(torch.stack((tokens, tokens, tokens)).double()))
            begun += 1
        if not ahead.under_way:
            break
        drawn(work, [token])
        work = scheduler.plan(lambda sequence, limit: Draft(()))
    assert 0 < len(runner.begun) < begun <= 16, "two blocks hold eight tokens"
