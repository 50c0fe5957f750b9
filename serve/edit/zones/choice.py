"""A place where one of several texts comes next: heads of files and edits, ends of answers. Knows no format."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from dovetail.serve.constrain.base import Draft, Int32Array
from dovetail.serve.edit.ledger import Ledger
from dovetail.serve.edit.zones.zone import NOTHING, Step, Zone


class Choice(NamedTuple):
    """``literal`` leads to the zone that ``make`` gives, if any. ``likely``: worth a draft though there are others."""

    literal: bytes
    make: Callable[[], Zone | None]
    likely: bool = False


class OneOf(Zone):
    """``choices``: those that the ``depth`` bytes so far begin; no literal is a prefix of another.

    ``free``: besides them, a path that is not given. ``ends``: the output may end before the first byte.
    """

    __slots__ = ("choices", "depth", "ends", "free")

    def __init__(
        self,
        ledger: Ledger,
        begin: int,
        choices: Sequence[Choice],
        *,
        ends: bool = False,
        free: Zone | None = None,
        depth: int = 0,
    ) -> None:
        super().__init__(ledger, begin)
        self.choices = choices
        self.ends = ends
        self.free = free
        self.depth = depth

    @property
    def complete(self) -> bool:
        return self.ends and self.depth == 0

    @property
    def _common(self) -> bytes:
        """What all that may come next begins with."""
        if self.free is not None or self.complete or not self.choices:
            return b""
        rests = [choice.literal[self.depth :] for choice in self.choices]
        low, high = min(rests), max(rests)
        return low[: next((k for k, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), len(low))]

    def feed(self, data: bytes, step: Step) -> Zone | None:
        left = []
        for choice in self.choices:
            rest = choice.literal[self.depth :]
            if data.startswith(rest):
                zone = choice.make()
                if zone is None:
                    return None
                return zone.feed(data[len(rest) :], step) if len(data) > len(rest) else zone
            if rest.startswith(data):
                left.append(choice)
        free = self.free.feed(data, step) if self.free is not None else None
        if not left:
            return free
        return OneOf(self.ledger, self.begin, left, free=free, depth=self.depth + len(data))

    def mask(self) -> Int32Array:
        mask = super().mask()
        return mask if self.free is None else mask | self.free.mask()

    def branches(self) -> Sequence[bytes] | None:
        return [choice.literal[self.depth :] for choice in self.choices]

    def guess(self, limit: int) -> Draft:
        """What all choices have in common, with certainty; else the likely one."""
        plan, common = self.ledger.plan, self._common
        if common:
            tokens = plan.tokens_after(self.choices[0].literal[: self.depth], common)[:limit]
            return Draft(tokens, len(tokens))
        likely = next((choice.literal for choice in self.choices if choice.likely), None)
        if likely is None:
            return NOTHING
        return Draft(plan.tokens_after(likely[: self.depth], likely[self.depth :])[:limit])


class Closed(Zone):
    """An edit has just been accepted, at a token's end; the output goes on between edits. Lives for one token only."""

    __slots__ = ()

    def feed(self, data: bytes, step: Step) -> Zone | None:
        return None

    def branches(self) -> Sequence[bytes] | None:
        return ()

    def landed(self, count: int) -> Zone:
        return self.ledger.plan.after_edit(self.ledger, self.begin, count)
