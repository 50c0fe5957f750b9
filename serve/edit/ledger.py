"""What an output has done so far: the edits accepted, the starts given up, the times it went back. Immutable."""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

from dovetail.serve.constrain.base import Pending
from dovetail.serve.constrain.copy.prepared import Cuts, Region
from dovetail.serve.constrain.copy.quotation import Quotable
from dovetail.serve.constrain.syntax.change import Change
from dovetail.serve.constrain.syntax.checkpoints import Checkpoints
from dovetail.serve.edit.plan import Plan, Target
from dovetail.serve.edit.policing import Policing


class Quote(NamedTuple):
    """Whole lines of a file: the bytes ``start:end`` of its prepared text; none of them is a place between two lines."""

    start: int
    end: int


class Ledger:
    """The accepted edits of one output, and what they leave to be quoted.

    ``accepted[i]``: the (quote, replacement) pairs of target ``i``, by place. ``banned[i]``: line starts of target ``i`` at
    which no edit may begin any more. ``nearest[i]``: where the last edit of target ``i`` ended. ``last``: the target of the
    last edit. ``stands``: the ledger of the output that stands, if the edits since then do not parse yet. ``undone``: the
    ledger before a file was created or renamed for the edit being written.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.targets: tuple[Target, ...] = plan.targets
        self.accepted: dict[int, tuple[tuple[Quote, bytes], ...]] = {}
        self.banned: dict[int, frozenset[int]] = {}
        self.nearest: dict[int, int] = {}
        self.last: int | None = None
        self.retreats = 0
        self.doubts = 0
        self._doubted: tuple[int, frozenset[int]] | None = None
        self.deleted: frozenset[int] = frozenset()
        self.renamed: dict[int, str] = {}
        self.stands: Ledger | None = None
        self.undone: Ledger | None = None
        self._regions: dict[tuple[int, bool], Region] = {}
        self._checkpoints: dict[int, Checkpoints | None] = {}

    def _copy(self) -> Ledger:
        twin = Ledger(self.plan)
        twin.targets, twin.deleted, twin.renamed = self.targets, self.deleted, dict(self.renamed)
        twin.accepted, twin.banned, twin.nearest = dict(self.accepted), dict(self.banned), dict(self.nearest)
        twin.last, twin.retreats, twin._regions = self.last, self.retreats, dict(self._regions)
        twin.doubts, twin._doubted = self.doubts, self._doubted
        twin.stands, twin.undone = self.stands, self.undone
        twin._checkpoints = dict(self._checkpoints)
        return twin

    @cached_property
    def policing(self) -> Policing | None:
        """What the request's policy, if there is one, still allows."""
        return Policing(self.plan.policy, self) if self.plan.policy is not None else None

    def _open(self, target: int) -> bool:
        return self.policing is None or self.policing.opens(target)

    @property
    def edited(self) -> bool:
        """Whether any edit has been accepted."""
        return bool(self.accepted or self.deleted or self.renamed)

    @property
    def exhausted(self) -> bool:
        """Whether the output has gone back so often that it may only end."""
        return self.retreats >= self.plan.retreat_limit

    @property
    def creates(self) -> bool:
        """Whether a file may be created."""
        asked = "create" in self.plan.operations and not self.exhausted
        return asked and (self.policing is None or self.policing.creates)

    @property
    def paths(self) -> list[str]:
        """Every path that is or was in use."""
        return [*(target.path for target in self.targets), *self.renamed.values()]

    @cached_property
    def sound(self) -> bool:
        """Whether the output may end with every file as it is; always so where each edit has passed the gate.

        Raises:
            Pending: a gate has not answered yet.
        """
        if self.plan.syntax != "final":
            return True
        files = [target for target in self.accepted if target not in self.deleted]
        answers = [self.plan.judged(self.targets[target], self.changes(target)) for target in files]
        late = next((answer for answer in answers if not answer.ready), None)
        if late is not None:
            raise Pending(late)
        return all(answer.holds for answer in answers)

    def settled(self) -> Ledger:
        """The same, as an output that stands."""
        if self.stands is None:
            return self
        after = self._copy()
        after.stands = None
        return after

    def region_behind(self, target: int, start: int) -> Region:
        """What may still be quoted of a target's raw lines from ``start`` on."""
        cuts = [(first, end) for first, end in self._cuts(target) if end > start]
        return self.targets[target].prepared.region(((0, start), *cuts), self.banned.get(target, frozenset()))

    def region(self, target: int, quotable: Quotable | None = None) -> Region:
        """What may still be quoted of a target, in the positions of ``quotable`` (its raw lines by default)."""
        prepared = quotable.prepared if quotable is not None else self.targets[target].prepared
        key = target, prepared is self.targets[target].prepared
        region = self._regions.get(key)
        if region is None:
            cuts = tuple((prepared.from_raw(start), prepared.from_raw(end)) for start, end in self._cuts(target))
            banned = frozenset(prepared.from_raw(start) for start in self.banned.get(target, ()))
            region = self._regions[key] = prepared.region(cuts, banned)
        return region

    def _cuts(self, target: int) -> Cuts:
        spans = [(quote.start, quote.end) for quote, _ in self.accepted.get(target, ())]
        if self.plan.in_order and spans:
            spans = [(0, spans[-1][1])]
        merged: list[tuple[int, int]] = []
        for start, end in sorted([*spans, *self.targets[target].protected]):
            if merged and start < merged[-1][1]:
                merged[-1] = merged[-1][0], max(end, merged[-1][1])
            else:
                merged.append((start, end))
        return tuple(merged)

    def offers(self, target: int) -> bool:
        """Whether an edit may quote of the target. An empty file may be filled once."""
        if target in self.deleted or not self._open(target):
            return False
        if self.targets[target].prepared.raw:
            return self.region(target).offers
        return not self.accepted.get(target) and not self.banned.get(target)

    def untouched(self, target: int) -> bool:
        """Whether the target is as it was given, and may become anything."""
        touched = target in self.deleted or target in self.renamed or target in self.accepted
        fresh = not touched and not self.banned.get(target) and target < len(self.plan.targets)
        return fresh and self._open(target)

    def checkpoints(self, target: int) -> Checkpoints | None:
        """The recogniser's states of the target as the accepted edits leave it; None where it is not to be asked."""
        if self.plan.syntax != "each":
            return None
        if target not in self._checkpoints:
            given = self.targets[target].checkpoints
            self._checkpoints[target] = given.edited(self.changes_as_read(target)) if given is not None else None
        return self._checkpoints[target]

    def free_for_insertion(self, target: int, place: int) -> bool:
        """Whether lines may be inserted before ``place``, a line start or the end."""
        if target in self.deleted or place in self.banned.get(target, ()) or not self._open(target):
            return False
        quotes = [quote for quote, _ in self.accepted.get(target, ())]
        inside = any(quote.start < place < quote.end or quote == (place, place) for quote in quotes)
        return not inside and not any(start < place < end for start, end in self.targets[target].protected)

    def accept(self, target: int, quote: Quote, replacement: bytes) -> Ledger:
        """With one edit more."""
        after = self._next()
        after.accepted[target] = tuple(sorted((*self.accepted.get(target, ()), (quote, replacement))))
        after.nearest[target] = quote.end
        after.last = target
        after._regions = {key: region for key, region in after._regions.items() if key[0] != target}
        after._checkpoints.pop(target, None)
        return after

    def create(self, path: str) -> tuple[Ledger, int]:
        """With one target more, an empty file that is not there yet; its content has to be accepted."""
        after = self._copy()
        after.undone = self
        after.targets = (*self.targets, self.plan.created(path))
        return after, len(self.targets)

    def delete(self, target: int) -> Ledger:
        """Without the target."""
        after = self._next()
        after.deleted = self.deleted | {target}
        after.last = None
        return after

    def rename(self, target: int, path: str) -> Ledger:
        """With the target at another path; an edit of it has to be accepted, unless it is ``kept`` as it is."""
        after = self._next()
        after.undone = self
        after.renamed[target] = path
        after.last = target
        return after

    def kept(self) -> Ledger:
        """With what was created or renamed last."""
        after = self._copy()
        after.undone = None
        return after

    def _next(self) -> Ledger:
        after = self._copy()
        after.undone = None
        if self._doubted is not None:
            after._bar(self._doubted[0], self.banned[self._doubted[0]] - self._doubted[1])
            after._doubted = None
        if self.plan.syntax == "final" and self.stands is None:
            after.stands = self.undone or self
        return after

    def went_back(self, target: int | None = None, starts: frozenset[int] = frozenset()) -> Ledger:
        """After a retreat to what stands; ``starts`` of ``target`` begin no edit any more."""
        base = self.undone or self
        base = base.stands or base
        after = base._copy()
        after.retreats = self.retreats + 1
        if target is not None and target >= len(after.targets):
            return after
        if target is not None and starts:
            after._bar(target, base.banned.get(target, frozenset()) | starts)
        return after

    def doubted(self, target: int, starts: frozenset[int]) -> Ledger | None:
        """Back to what stands, with ``starts`` barred for one edit: the model hardly wanted to begin it there.

        None if that has been tried for this edit, often enough in this output, or if nothing would be left to quote.
        """
        base = self.undone or self
        base = base.stands or base
        if not starts or self._doubted is not None or self.doubts >= self.plan.doubt_limit:
            return None
        after = base._copy()
        after.doubts = self.doubts + 1
        after._bar(target, base.banned.get(target, frozenset()) | starts)
        after._doubted = target, starts - base.banned.get(target, frozenset())
        return after if target < len(base.targets) and after.offers(target) else None

    def _bar(self, target: int, starts: frozenset[int]) -> None:
        self.banned[target] = starts
        self._regions = {key: region for key, region in self._regions.items() if key[0] != target}

    def resumed(self) -> Ledger:
        """After going back within an edit."""
        after = self._copy()
        after.retreats += 1
        return after

    def changes(self, target: int, quote: Quote | None = None, replacement: bytes = b"") -> list[Change]:
        """The changes of the target, as it is, that its accepted edits, and one more, make, by place."""
        changes = self.changes_as_read(target, quote, replacement)
        return [self.targets[target].restored(change) for change in changes]

    def changes_as_read(self, target: int, quote: Quote | None = None, replacement: bytes = b"") -> list[Change]:
        """The same, of the target as the model reads it."""
        raw = self.targets[target].prepared.raw
        edits = [*self.accepted.get(target, ()), *([(quote, replacement)] if quote is not None else [])]
        if not self.plan.final_line_feed:
            return [raw_change(each, text, len(raw)) for each, text in sorted(edits)]
        changes = [Change(each.start, min(each.end, len(raw)), text) for each, text in sorted(edits)]
        if raw and not raw.endswith(b"\n") and (not changes or changes[-1].end < len(raw)):
            changes.append(Change(len(raw), len(raw), b"\n"))
        return changes


def raw_change(quote: Quote, replacement: bytes, raw_size: int) -> Change:
    """An edit's change in raw bytes.

    A quote that ends in the imagined line feed of a file without a final one leaves the file without a final one too;
    an empty replacement there removes the lines and leaves what stands before them.
    """
    if raw_size and quote.end > raw_size:
        return Change(quote.start, raw_size, replacement.removesuffix(b"\n"))
    return Change(quote.start, quote.end, replacement)
