"""What an output has done so far: the blocks accepted, the starts given up, the times it went back. Immutable."""

from __future__ import annotations

from typing import NamedTuple

from dovetail.serve.constrain.copy.prepared import Region
from dovetail.serve.constrain.syntax.change import Change
from dovetail.serve.edit.plan import Plan


class Quote(NamedTuple):
    """Whole lines of a file: the bytes ``start:end`` of its prepared text."""

    start: int
    end: int


class Ledger:
    """The accepted blocks of one output, and what they leave to be quoted.

    ``accepted[i]``: the (quote, replacement) pairs of target ``i``, by place. ``banned[i]``: line starts of target ``i`` at
    which no block may begin any more. ``nearest[i]``: where the last block of target ``i`` ended.
    """

    __slots__ = ("_regions", "accepted", "banned", "last", "nearest", "plan", "retreats")

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.accepted: dict[int, tuple[tuple[Quote, bytes], ...]] = {}
        self.banned: dict[int, frozenset[int]] = {}
        self.nearest: dict[int, int] = {}
        self.last: int | None = None
        self.retreats = 0
        self._regions: dict[int, Region] = {}

    def _copy(self) -> Ledger:
        twin = Ledger(self.plan)
        twin.accepted, twin.banned, twin.nearest = dict(self.accepted), dict(self.banned), dict(self.nearest)
        twin.last, twin.retreats, twin._regions = self.last, self.retreats, dict(self._regions)
        return twin

    @property
    def exhausted(self) -> bool:
        """Whether the output has gone back so often that it may only end."""
        return self.retreats >= self.plan.retreat_limit

    def region(self, target: int) -> Region:
        """What may still be quoted of a target."""
        region = self._regions.get(target)
        if region is None:
            cuts = tuple((quote.start, quote.end) for quote, _ in self.accepted.get(target, ()))
            prepared = self.plan.targets[target].prepared
            region = self._regions[target] = prepared.region(cuts, self.banned.get(target, frozenset()))
        return region

    def offers(self, target: int) -> bool:
        """Whether a block may name the target. An empty file may be filled once."""
        if self.plan.targets[target].prepared.raw:
            return self.region(target).offers
        return not self.accepted.get(target) and not self.banned.get(target)

    def accept(self, target: int, quote: Quote, replacement: bytes) -> Ledger:
        """With one block more."""
        after = self._copy()
        after.accepted[target] = tuple(sorted((*self.accepted.get(target, ()), (quote, replacement))))
        after.nearest[target] = quote.end
        after.last = target
        after._regions.pop(target, None)
        return after

    def went_back(self, target: int | None = None, starts: frozenset[int] = frozenset()) -> Ledger:
        """After a retreat; ``starts`` of ``target`` begin no block any more."""
        after = self._copy()
        after.retreats += 1
        if target is not None and starts:
            after.banned[target] = self.banned.get(target, frozenset()) | starts
            after._regions.pop(target, None)
        return after

    def changes(self, target: int, quote: Quote, replacement: bytes) -> list[Change]:
        """The changes of the target's raw content that its accepted blocks and one more make, by place."""
        raw_size = len(self.plan.targets[target].prepared.raw)
        blocks = sorted((*self.accepted.get(target, ()), (quote, replacement)))
        return [raw_change(quote, replacement, raw_size) for quote, replacement in blocks]


def raw_change(quote: Quote, replacement: bytes, raw_size: int) -> Change:
    """A block's change in raw bytes.

    A quote that ends in the imagined line feed of a file without a final one leaves the file without a final one too;
    an empty replacement there removes the lines and leaves what stands before them.
    """
    if raw_size and quote.end > raw_size:
        return Change(quote.start, raw_size, replacement.removesuffix(b"\n"))
    return Change(quote.start, quote.end, replacement)
