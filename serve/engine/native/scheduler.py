"""Which sequences take part in the next step, with how many tokens: continuous batching with chunked prompts.

Knows blocks and token counts; knows nothing of models, sampling or text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from dovetail.serve.constrain.base import Draft
from dovetail.serve.engine.native.blocks import BlockPool
from dovetail.serve.engine.native.branching import branched, settled
from dovetail.serve.engine.native.sequence import Sequence, Work, total_rows

_NO_DRAFT = Draft(())


@dataclass(frozen=True)
class Limits:
    """The bounds of one step. ``max_batched_tokens`` counts all rows, prompt chunks and drafts included; ``branching_runs``:
    sequences and branches of a step with branches, None: any number."""

    max_num_seqs: int
    max_batched_tokens: int
    max_draft: int = 32
    branching_runs: int | None = None


_BRANCH_SHARE = 16
"""Branches of drafts take at most one of so many blocks: others may be cached there."""


class Scheduler:
    """First come, first served within a priority; running sequences go first, prompts fill what is left of the budget.

    When blocks run out, the sequence that would run last gives its blocks back and is computed again later
    (pre-emption by recomputation).
    """

    def __init__(self, pool: BlockPool, limits: Limits) -> None:
        self._pool = pool
        self._limits = limits
        self._waiting: list[Sequence] = []
        self._running: list[Sequence] = []
        self._arrivals: dict[Sequence, int] = {}
        self._branches: dict[Sequence, Draft] = {}
        self._count = 0
        self.preemptions = 0

    @property
    def waiting(self) -> int:
        """Sequences that have no blocks yet."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Sequences that hold blocks."""
        return len(self._running)

    def __iter__(self) -> Iterator[Sequence]:
        yield from self._running
        yield from self._waiting

    def add(self, sequence: Sequence) -> None:
        """Queue a new sequence."""
        self._arrivals[sequence] = self._count
        self._count += 1
        self._waiting.append(sequence)
        self._waiting.sort(key=self._rank)

    def computed(self, sequence: Sequence) -> None:
        """After a step: what is full by now may be reused by others."""
        self._pool.remember(sequence.table, sequence.tokens, sequence.computed, sequence.salt)

    def rewound(self, sequence: Sequence) -> None:
        """After ``sequence`` dropped tokens: its blocks follow."""
        sequence.computed = self._pool.rewind(sequence.table, sequence.computed)

    def remove(self, sequence: Sequence) -> None:
        """Forget a sequence that has ended; its blocks can be taken, or reused, at once."""
        self._pool.release(sequence.table)
        (self._running if sequence in self._running else self._waiting).remove(sequence)
        del self._arrivals[sequence]

    def plan(self, propose: Callable[[Sequence, int], Draft], prompt_budget: int | None = None) -> list[Work]:
        """The next step's work.

        Args:
            propose: drafts at most so many tokens for a sequence that is about to sample.
            prompt_budget: most rows of a step in which others wait for their next token; None: no more than any step.
        """
        self._settle()
        self._branches.clear()
        work = self._planned(propose, prompt_budget)
        if self._branches:
            work = self._branching(work)
        self._pool.flush()
        return work

    def _branching(self, work: list[Work]) -> list[Work]:
        """With the branches of drafts, as far as rows and blocks are left: nobody gives up any for them."""
        rows = self._limits.max_batched_tokens - total_rows(work)
        blocks = self._pool.total // _BRANCH_SHARE
        runs = self._limits.branching_runs
        most = rows if runs is None else max(0, runs - len(work))
        done: list[Work] = []
        for share in work:
            wider = branched(share, self._branches.get(share.sequence, _NO_DRAFT), self._pool, rows, blocks, most)
            rows -= wider.rows - share.rows
            most -= len(wider.forks)
            blocks -= sum(len(fork.table.blocks) for fork in wider.forks)
            done.append(wider)
        return done

    def room_ahead(self, work: Iterable[Work]) -> bool:
        """Blocks for one row more of each share, behind those that are being computed; whether there are."""
        grown = all(self._pool.grow(share.sequence.table, share.last + 2) for share in work)
        self._pool.flush()
        return grown

    def chosen(self, share: Work, last: int) -> None:
        """After a step, before its tokens are counted: the branch with the drafted token ``last`` is the sequence."""
        settled(share, last, self._pool)

    def _settle(self) -> None:
        """Blocks that came back from the second tier are there now; a sequence whose blocks were lost begins again."""
        self._pool.settle()
        for sequence in [each for each in self._running if each.table.arriving is not None]:
            arriving = sequence.table.arriving
            if arriving is not None and arriving.ready:
                sequence.table.arriving = None
                if arriving.lost:
                    sequence.cached = None
                    self._suspend(sequence)

    def _planned(self, propose: Callable[[Sequence, int], Draft], prompt_budget: int | None) -> list[Work]:
        budget = self._limits.max_batched_tokens
        work: list[Work] = []
        preempted = self.preemptions
        self._running.sort(key=self._rank)
        ready = [sequence for sequence in self._running if not sequence.waits]
        decoding = [sequence for sequence in ready if sequence.pending == 1]
        if decoding and prompt_budget is not None:
            budget = min(budget, max(prompt_budget, len(decoding)))
        for sequence in decoding + [sequence for sequence in ready if sequence.pending > 1]:
            if budget < 1:
                break
            if sequence not in self._running:
                continue  # pre-empted for an earlier one in this very step
            share = self._share(sequence, budget, len(decoding), propose)
            if share is None:
                continue
            work.append(share)
            budget -= share.rows
        scarce = self.preemptions > preempted
        while self._waiting and budget > 0 and not scarce and len(self._running) < self._limits.max_num_seqs:
            sequence = self._waiting[0]
            if sequence.waits:
                break
            # A sequence starts only when all that is known of it fits: half-prefilled prompts must not block each other.
            cached = self._pool.reuse(sequence.table, sequence.tokens, sequence.salt)
            if cached < 0:
                break
            sequence.computed = cached
            sequence.cached = cached if sequence.cached is None else sequence.cached
            self._running.append(self._waiting.pop(0))
            if sequence.table.arriving is not None:
                sequence.awaits = sequence.table.arriving
                continue
            share = self._share(sequence, budget, len(decoding), propose)
            assert share is not None, "the blocks were counted just now"
            work.append(share)
            budget -= share.rows
        return [share for share in work if share.sequence.table.blocks]

    def _share(
        self, sequence: Sequence, budget: int, decoding: int, propose: Callable[[Sequence, int], Draft]
    ) -> Work | None:
        count = min(sequence.pending, budget)
        draft = _NO_DRAFT
        samples = count == sequence.pending and sequence.pool is None
        if samples:
            # Leave every decoding sequence its one row, whatever the drafts of the first ones.
            room = min(self._limits.max_draft, (budget - count) // max(1, decoding), sequence.left - 1)
            draft = propose(sequence, room) if room > 0 else _NO_DRAFT
        while not self._pool.grow(sequence.table, sequence.computed + count + len(draft.tokens)):
            if draft.tokens:
                draft = _NO_DRAFT
            elif not self._preempt(after=sequence):
                return None
        if draft.branches:
            self._branches[sequence] = draft
        return Work(sequence, count, samples, tuple(draft.tokens), draft.forced, draft.predicted, draft.evidence)

    def _preempt(self, after: Sequence) -> bool:
        """Take the blocks of the lowest-ranked sequence, unless that is ``after`` itself or runs before it."""
        victim = max(self._running, key=self._rank)
        if victim is after or self._rank(victim) < self._rank(after):
            self._suspend(after)
            return False
        self._suspend(victim)
        return True

    def _suspend(self, sequence: Sequence) -> None:
        self._pool.release(sequence.table)
        sequence.computed = 0
        self._running.remove(sequence)
        self._waiting.append(sequence)
        self._waiting.sort(key=self._rank)
        self.preemptions += 1

    def _rank(self, sequence: Sequence) -> tuple[int, int]:
        return (sequence.request.priority, self._arrivals[sequence])

    def check(self) -> None:
        """Assert that every block is accounted for exactly once."""
        self._pool.check([sequence.table for sequence in self])
        assert all(not sequence.table.blocks for sequence in self._waiting), "a waiting sequence holds blocks"
