"""The old string: whole lines of the file as JSON escapes them, unique in the file, and the quote that ends them."""

from __future__ import annotations

from collections.abc import Sequence

from dovetail.serve.constrain.base import Draft, Int32Array
from dovetail.serve.constrain.copy.quotation import Interval
from dovetail.serve.edit.formats.str_replace.string import StringReplacing
from dovetail.serve.edit.ledger import Ledger, Quote
from dovetail.serve.edit.zones.choice import Choice, OneOf
from dovetail.serve.edit.zones.open_edit import OpenEdit
from dovetail.serve.edit.zones.zone import NOTHING, FirstLine, Step, Zone

NEW_STRING = b'", "new_string": "'
_BAN_AT_MOST = 16
_DRAFT_BYTES_PER_TOKEN = 8


class StringQuoting(Zone):
    """``at``: the quotation so far, in the escaped text."""

    __slots__ = ("at", "target")

    def __init__(self, ledger: Ledger, begin: int, target: int, at: Interval) -> None:
        super().__init__(ledger, begin)
        self.target = target
        self.at = at

    @classmethod
    def begun(cls, ledger: Ledger, begin: int, target: int) -> StringQuoting:
        """Behind the opening quote."""
        return cls(ledger, begin, target, ledger.targets[target].escaped.start())

    def feed(self, data: bytes, step: Step) -> Zone | None:
        quotable = self.ledger.targets[self.target].escaped
        region = self.ledger.region(self.target, quotable)
        at, position = self.at, 0
        while position < len(data):
            if data[position] == 0x22 and quotable.at_line_end(at):  # At a line's end, the text has a quote as \" only.
                ending = self._ending(at)
                return ending.feed(data[position:], step) if ending is not None else None
            stop = data.find(b'"', position + 1)
            piece = data[position : stop if stop > 0 else len(data)]
            moved = quotable.feed(region, at, piece)
            if moved is None:
                return None
            at, position = moved, position + len(piece)
        return StringQuoting(self.ledger, self.begin, self.target, at)

    def _ending(self, at: Interval) -> Zone | None:
        quotable = self.ledger.targets[self.target].escaped
        closing = quotable.closing(self.ledger.region(self.target, quotable), at)
        if closing is None:
            return None
        quote = Quote(*(quotable.prepared.to_raw(place) for place in closing))
        block = OpenEdit(self.ledger, self.begin, self.target, quote, in_json=True)
        return Ending(block, [Choice(NEW_STRING, lambda: StringReplacing.begun(block))])

    def branches(self) -> Sequence[bytes] | None:
        quotable = self.ledger.targets[self.target].escaped
        found = quotable.continuations(self.ledger.region(self.target, quotable), self.at)
        return [*found, NEW_STRING] if self._ending(self.at) is not None else found

    def mask(self) -> Int32Array:
        quotable = self.ledger.targets[self.target].escaped
        return quotable.kept_mask(self.ledger.region(self.target, quotable), self.at, "str_replace", super().mask)

    def first_line(self) -> FirstLine | None:
        wide = self.at.high - self.at.low > _BAN_AT_MOST
        prepared = self.ledger.targets[self.target].escaped.prepared
        return FirstLine.of(prepared, self.at, () if wide else prepared.order[self.at.low : self.at.high])

    def given_up(self) -> tuple[int | None, frozenset[int]]:
        """The candidates, unless the quotation has hardly begun."""
        if not self.at.depth or self.at.high - self.at.low > _BAN_AT_MOST:
            return self.target, frozenset()
        prepared = self.ledger.targets[self.target].escaped.prepared
        return self.target, frozenset(prepared.to_raw(start) for start in prepared.order[self.at.low : self.at.high])

    def guess(self, limit: int) -> Draft:
        """The file's text to the line's end once at most two lines are left; the end where nothing else may come."""
        plan, quotable = self.ledger.plan, self.ledger.targets[self.target].escaped
        region, prepared = self.ledger.region(self.target, quotable), quotable.prepared
        if not self.at.depth or self.at.high - self.at.low > 2:
            return NOTHING
        starts = [prepared.order[k] for k in range(self.at.low, self.at.high) if region.room[k] > self.at.depth]
        if not starts:
            tokens = plan.tokens_after(b"", NEW_STRING)[:limit]
            return Draft(tokens, len(tokens))
        if self._ending(self.at) is not None:
            return NOTHING
        position = starts[0] + self.at.depth
        stop = min(prepared.line_end(position), position + limit * _DRAFT_BYTES_PER_TOKEN)
        context = prepared.text[prepared.line_start(position) : position]
        text = prepared.text[position:stop].decode(errors="ignore").encode()
        tokens = plan.tokens_after(context, text)[:limit]
        return Draft(tokens, len(tokens) if len(starts) == 1 else 0)


class Ending(OneOf):
    """Behind a finished quotation, before the new string."""

    __slots__ = ("block",)

    def __init__(self, block: OpenEdit, choices: Sequence[Choice], depth: int = 0) -> None:
        super().__init__(block.ledger, block.begin, choices, depth=depth)
        self.block = block

    def feed(self, data: bytes, step: Step) -> Zone | None:
        zone = super().feed(data, step)
        return Ending(self.block, self.choices, self.depth + len(data)) if type(zone) is OneOf else zone

    def first_line(self) -> FirstLine | None:
        return self.block.first_line

    def given_up(self) -> tuple[int | None, frozenset[int]]:
        return self.block.given_up()
