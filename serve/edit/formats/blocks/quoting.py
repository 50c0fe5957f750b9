"""The SEARCH part: whole lines of the file, verbatim and unique, and the divider. Knows nothing of what replaces them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from dovetail.serve.constrain.base import Draft, Int32Array
from dovetail.serve.constrain.copy.quotation import Interval, Quotable
from dovetail.serve.edit.ledger import Ledger, Quote
from dovetail.serve.edit.zones.open_edit import OpenEdit
from dovetail.serve.edit.zones.replacement import Replacing
from dovetail.serve.edit.zones.zone import NOTHING, FirstLine, Step, Zone

_BAN_AT_MOST = 16
_DRAFT_BYTES_PER_TOKEN = 8


class Quoting(Zone):
    """Two alternatives, alive together until they differ: the quotation goes on (``at``), or the divider has begun.

    ``quote``: the lines that the divider would close, of which ``passed`` bytes have been read; a file may well hold a
    line ``==========`` after them. An empty file has no lines: its divider comes at once.
    """

    __slots__ = ("at", "passed", "quote", "target")

    def __init__(
        self, ledger: Ledger, begin: int, target: int, at: Interval | None, quote: Quote | None, passed: int
    ) -> None:
        super().__init__(ledger, begin)
        self.target = target
        self.at = at
        self.quote = quote
        self.passed = passed

    @classmethod
    def begun(cls, ledger: Ledger, begin: int, target: int) -> Quoting:
        """Behind the search marker of a block on ``target``."""
        quotable = ledger.targets[target].quotable(ledger.plan.divider)
        if not quotable.prepared.raw:
            return cls(ledger, begin, target, None, Quote(0, 0), 0)
        return cls(ledger, begin, target, quotable.start(), None, 0)

    def feed(self, data: bytes, step: Step) -> Zone | None:
        quotable = self.quotable
        region = self.ledger.region(self.target)
        divider = quotable.delimiter
        at, quote, passed, position = self.at, self.quote, self.passed, 0
        while position < len(data):
            if at is not None and quote is None and data[position] == divider[0] and quotable.at_line_end(at):
                closing = quotable.closing(region, at)
                quote, passed = (Quote(*closing), 0) if closing else (None, 0)
            stop = data.find(b"\n", position) + 1 or len(data)
            piece = data[position:stop]
            if quote is not None:
                if divider.startswith(piece, passed):
                    passed += len(piece)
                    if passed == len(divider):
                        zone = Replacing.begun(OpenEdit(self.ledger, self.begin, self.target, quote))
                        return zone.feed(data[stop:], step) if stop < len(data) else zone
                else:
                    quote = None
            at = quotable.feed(region, at, piece) if at is not None else None
            if at is None and quote is None:
                return None
            position = stop
        return Quoting(self.ledger, self.begin, self.target, at, quote, passed)

    def mask(self) -> Int32Array:
        quotable = self.quotable
        vocabulary = self.ledger.plan.vocabulary
        found: list[int] = []
        if self.quote is not None:
            rest = quotable.delimiter[self.passed :]
            found = vocabulary.along(rest) + (vocabulary.under(rest) if rest in vocabulary.prefixes else [])
        if self.at is None:
            return vocabulary.pack(found)
        mask = quotable.mask(self.ledger.region(self.target), self.at)
        return mask | vocabulary.pack(found) if found else mask

    @property
    def quotable(self) -> Quotable:
        """The file's lines."""
        return self.ledger.targets[self.target].quotable(self.ledger.plan.divider)

    def first_line(self) -> FirstLine | None:
        if self.at is None:
            quoted = self.quote is not None and self.quote.start < self.quote.end
            return FirstLine(True, True, frozenset((self.quote.start,))) if self.quote and quoted else None
        wide = self.at.high - self.at.low > _BAN_AT_MOST
        return FirstLine.of(self.quotable.prepared, self.at, () if wide else self._starts(self.at))

    def given_up(self) -> tuple[int | None, frozenset[int]]:
        """The candidates, unless the quotation has hardly begun."""
        if self.at is None:
            return self.target, frozenset((self.quote.start,)) if self.quote else frozenset()
        if not self.at.depth or self.at.high - self.at.low > _BAN_AT_MOST:
            return self.target, frozenset()
        return self.target, frozenset(self._starts(self.at))

    def guess(self, limit: int) -> Draft:
        """The divider's rest; else the file's text, forced up to where it becomes unique, and on: a divider costs no more
        where it contradicts a draft than where there is none."""
        plan, quotable = self.ledger.plan, self.quotable
        if self.at is None or self._at_its_limit(self.at):
            tokens = plan.tokens_after(quotable.delimiter[: self.passed], quotable.delimiter[self.passed :])
            return Draft(tokens[:limit], len(tokens[:limit]))
        if not self.at.depth or (self.quote is not None and self.passed):
            return NOTHING
        viable = self._starts(self.at)
        starts = [place for place in viable if self._room(place) > self.at.depth] if len(viable) <= 2 else viable
        nearest = self.ledger.nearest.get(self.target, 0)
        start = min(starts, key=lambda place: (place < nearest, abs(place - nearest)), default=None)
        if start is None:
            return NOTHING
        prepared, position = quotable.prepared, start + self.at.depth
        stop = min(start + self._room(start), position + limit * _DRAFT_BYTES_PER_TOKEN)
        certain = position
        if len(viable) == 1 and not quotable.closing(self.ledger.region(self.target), self.at):
            reach = min(prepared.line_end(stop - 1), start + self._room(start))
            certain = prepared.unique_end(start, reach) if prepared.unique(start, reach) else reach
        text = prepared.text[position:stop].decode(errors="ignore").encode()
        tokens = plan.tokens_after(prepared.text[prepared.line_start(position) : position], text)[:limit]
        return Draft(tokens, self._within(tokens, certain - position))

    def _within(self, tokens: Sequence[int], size: int) -> int:
        """How many of the tokens spell the first ``size`` bytes."""
        spelling = self.ledger.plan.vocabulary.spelling
        ends = accumulate(len(spelling(token) or b"") for token in tokens)
        return sum(end <= size for end in ends)

    def _at_its_limit(self, at: Interval) -> bool:
        """Whether only the divider may follow."""
        starts = self._starts(at) if at.high - at.low <= 2 else []
        return bool(starts) and all(self._room(start) == at.depth for start in starts)

    def _room(self, start: int) -> int:
        prepared = self.ledger.targets[self.target].prepared
        return self.ledger.region(self.target).room[prepared.rank(start)]

    def _starts(self, at: Interval) -> list[int]:
        """The candidates that the quotation may still turn out to begin at."""
        order = self.ledger.targets[self.target].prepared.order
        room = self.ledger.region(self.target).room
        return [order[rank] for rank in range(at.low, at.high) if room[rank] >= at.depth]
