"""The forward pass of the coming step, begun before the host knows the tokens of this one: a device need not wait for the host.

Where every sequence has one row, the step after a step is known but for its tokens, and these are on the device already. The host
reads, checks and reports them, and plans, while the device goes on. Where a token turns out otherwise, where a sequence has ended, or
something has joined, that row is not used, or waits for the step after. Knows slots and tokens; knows no sampling and no text.
"""

from __future__ import annotations

from collections.abc import Sequence as Seq
from dataclasses import dataclass

import torch
from torch import Tensor

from dovetail.kernels.ops import Fetched, upload
from dovetail.serve.engine.native.runner import Runner
from dovetail.serve.engine.native.scheduler import Scheduler
from dovetail.serve.engine.native.sequence import Sequence, Work

_STEPS = 16
"""So many steps in a row begin early; then one does not, in which drafters may try their luck."""


@dataclass
class _Flight:
    """A pass on its way: by sequence, its row and the position that it is for; ``fed``: the tokens of the rows."""

    logits: Tensor
    rows: dict[Sequence, tuple[int, int]]
    fed: Fetched

    def holds(self, share: Work) -> bool:
        """Whether the share's one row is on its way."""
        row, position = self.rows.get(share.sequence, (-1, -1))
        if share.count != 1 or not share.samples or share.draft or position != share.last:
            return False
        return share.sequence.tokens[position] == int(self.fed.rows[0][row])


class Ahead:
    """Begins passes early and hands out what they gave.

    ``wished``: somebody would have drafted in the step that is being planned, had it not begun already.
    """

    def __init__(self, runner: Runner, scheduler: Scheduler) -> None:
        self._runner, self._scheduler = runner, scheduler
        self._flight: _Flight | None = None
        self._left = _STEPS
        self.wished = False
        self.begun = 0

    @property
    def under_way(self) -> bool:
        """Whether the coming step has begun."""
        return self._flight is not None

    def take(self, work: list[Work]) -> tuple[list[Work], Tensor | None]:
        """What of ``work`` is done in this step, and its logits if they are on their way; the rest waits for the next step."""
        flight, self._flight = self._flight, None
        used = [share for share in work if flight.holds(share)] if flight is not None else []
        if flight is None or not used:
            self._left = _STEPS
            return work, None
        if len(used) < len(work):
            self._left = 0
        rows = [flight.rows[share.sequence][0] for share in used]
        if rows == list(range(len(flight.logits))):
            return used, flight.logits
        return used, flight.logits[upload(rows, torch.int64, flight.logits.device)]

    def may_follow(self, work: Seq[Work]) -> bool:
        """Whether the step after ``work`` may begin now."""
        wished, self.wished = self.wished, False
        self._left -= 1
        if wished or self._left < 0 or not self._runner.captured:
            return False
        return all(share.count == 1 and share.samples and not share.draft for share in work)

    def begin(self, work: Seq[Work], tokens: Tensor, fed: Fetched) -> None:
        """Begin the step after ``work`` if there is room and a captured step for it; ``tokens``: ``[S]``, as drawn just now."""
        if not self._scheduler.room_ahead(work):
            return
        logits = self._runner.forward_ahead(work, tokens)
        if logits is not None:
            rows = {share.sequence: (row, share.last + 1) for row, share in enumerate(work)}
            self._flight = _Flight(logits, rows, fed)
            self.begun += 1
