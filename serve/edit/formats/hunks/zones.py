"""Answers made of hunks as zones: heads of files and hunks, whole files created, deleted and renamed, the end marker.

A budget may end an answer behind any complete hunk: the end marker is then the reader's to add.
"""

from __future__ import annotations

from dovetail.serve.constrain.copy.quotation import Interval
from dovetail.serve.constrain.vocabulary import Vocabulary
from dovetail.serve.edit.formats.hunks.body import HunkBody
from dovetail.serve.edit.formats.hunks.dialect import Dialect
from dovetail.serve.edit.formats.hunks.open_hunk import OpenHunk
from dovetail.serve.edit.ledger import Ledger
from dovetail.serve.edit.plan import Plan
from dovetail.serve.edit.zones.choice import Choice, Closed, OneOf
from dovetail.serve.edit.zones.new_path import NewPath
from dovetail.serve.edit.zones.zone import Step, Zone
from dovetail.serve.types import EditSpec


def hunks_plan(spec: EditSpec, vocabulary: Vocabulary, dialect: Dialect) -> Plan:
    """The plan of an output in hunks of ``dialect``.

    Raises:
        UserError: what Plan refuses.
    """

    def between(ledger: Ledger, begin: int) -> Zone:
        if ledger.edited:
            return OneOf(ledger, begin, _sections(ledger, begin, dialect))
        sections = [] if ledger.exhausted else _sections(ledger, begin, dialect)
        started = [Choice(dialect.begin, lambda: OneOf(ledger, begin, sections), likely=True)] if sections else []
        return OneOf(ledger, begin, started, ends=True)

    plan = Plan(spec, vocabulary, between)
    plan.in_order = True
    return plan


def _sections(ledger: Ledger, begin: int, dialect: Dialect) -> list[Choice]:
    """What may come between two hunks."""
    choices = [Choice(dialect.end, lambda: _done(ledger, begin))] if ledger.edited and ledger.sound else []
    if ledger.exhausted:
        return choices
    last, given = ledger.last, range(len(ledger.plan.targets))
    if last is not None and ledger.targets[last].prepared.raw and ledger.offers(last):
        choices += _hunk(ledger, begin, last, dialect, dialect.hunk, dialect.anchor)
    untouched = [target for target in given if ledger.untouched(target)]
    for target in [target for target in given if target not in ledger.accepted and target not in ledger.renamed]:
        if ledger.offers(target):
            head = dialect.update(ledger.targets[target].path.encode())
            anchor = head.removesuffix(dialect.hunk) + dialect.anchor if dialect.anchor else None
            choices += _hunk(ledger, begin, target, dialect, head, anchor)
    if "delete" in ledger.plan.operations:
        for target in untouched:
            free = ledger.policing is None or ledger.policing.may_delete(target)
            if not ledger.targets[target].protected and free:
                choices.append(_deletion(ledger, begin, target, dialect))
    if "rename" in ledger.plan.operations:
        for target in untouched:
            free = ledger.policing is None or ledger.policing.may_leave(target)
            if free and (ledger.offers(target) or not dialect.renamed):
                choices.append(_renaming(ledger, begin, target, dialect))
    if ledger.creates:
        choices.append(_creation(ledger, begin, dialect))
    return choices


def _body(ledger: Ledger, begin: int, target: int, dialect: Dialect) -> Zone:
    return HunkBody.begun(OpenHunk(ledger, begin, target, ledger.region(target), dialect))


def _hunk(ledger: Ledger, begin: int, target: int, dialect: Dialect, head: bytes, anchor: bytes | None) -> list[Choice]:
    choices = [Choice(head, lambda: _body(ledger, begin, target, dialect))]
    if anchor is not None and ledger.targets[target].prepared.raw:
        choices.append(Choice(anchor, lambda: Anchor.begun(ledger, begin, target, dialect)))
    return choices


def _deletion(ledger: Ledger, begin: int, target: int, dialect: Dialect) -> Choice:
    head = dialect.delete(ledger.targets[target].path.encode())
    return Choice(head, lambda: Closed(ledger.delete(target), begin))


def _renaming(ledger: Ledger, begin: int, target: int, dialect: Dialect) -> Choice:
    path = ledger.targets[target].path

    def renamed(to: str) -> Zone | None:
        after = ledger.rename(target, to)
        if not dialect.renamed:
            if after.policing is not None and not after.policing.keeps(target):
                return None
            return Closed(after.kept(), begin)
        return OneOf(after, begin, [Choice(dialect.renamed, lambda: _body(after, begin, target, dialect))])

    dot = path.rfind(".", path.rfind("/") + 2)
    suffix = path[dot:] if dot > 0 else ""
    return Choice(dialect.rename(path.encode()), lambda: NewPath(ledger, begin, b"\n", renamed, suffix))


def _creation(ledger: Ledger, begin: int, dialect: Dialect) -> Choice:
    def created(path: str) -> Zone:
        after, target = ledger.create(path)
        if not dialect.created:
            return _body(after, begin, target, dialect)
        return OneOf(after, begin, [Choice(dialect.created, lambda: _body(after, begin, target, dialect))])

    return Choice(dialect.create, lambda: NewPath(ledger, begin, b"\n", created))


def _done(ledger: Ledger, begin: int) -> Zone:
    """Behind the end marker; one line feed may follow."""
    ended = OneOf(ledger, begin, [], ends=True)
    return OneOf(ledger, begin, [Choice(b"\n", lambda: ended)], ends=True)


class Anchor(Zone):
    """Behind ``@@ ``: a line of the file, of which the first that reads so lies before the hunk."""

    __slots__ = ("at", "dialect", "target")

    def __init__(self, ledger: Ledger, begin: int, target: int, dialect: Dialect, at: Interval) -> None:
        super().__init__(ledger, begin)
        self.target = target
        self.dialect = dialect
        self.at = at

    @classmethod
    def begun(cls, ledger: Ledger, begin: int, target: int, dialect: Dialect) -> Anchor:
        """With nothing of the line read."""
        return cls(ledger, begin, target, dialect, ledger.targets[target].quotable().start())

    def feed(self, data: bytes, step: Step) -> Zone | None:
        quotable, region = self.ledger.targets[self.target].quotable(), self.ledger.region(self.target)
        stop = data.find(b"\n") + 1
        at = quotable.feed(region, self.at, data[: stop or len(data)])
        if at is None:
            return None
        if not stop:
            return Anchor(self.ledger, self.begin, self.target, self.dialect, at)
        prepared = quotable.prepared
        start = min(prepared.order[rank] for rank in range(at.low, at.high) if prepared.order[rank] >= self._floor())
        behind = self.ledger.region_behind(self.target, start + at.depth)
        if not behind.offers:
            return None
        zone = HunkBody.begun(OpenHunk(self.ledger, self.begin, self.target, behind, self.dialect))
        return zone.feed(data[stop:], step) if stop < len(data) else zone

    def _floor(self) -> int:
        accepted = self.ledger.accepted.get(self.target)
        return accepted[-1][0].end if accepted else 0

    def branches(self) -> list[bytes]:
        return self.ledger.targets[self.target].quotable().continuations(self.ledger.region(self.target), self.at)
