"""A replacement inside a JSON string: any text as JSON spells it, and the quote that ends it once the file would parse."""

from __future__ import annotations

import re

from dovetail.serve.constrain.base import Draft, Int32Array
from dovetail.serve.constrain.utf8 import START, run
from dovetail.serve.edit.watch import Watching
from dovetail.serve.edit.zones.in_edit import Closing, Writing
from dovetail.serve.edit.zones.open_edit import Line, OpenEdit, joined
from dovetail.serve.edit.zones.zone import NOTHING, Step, Zone
from dovetail.serve.pointer import Pointer

_SPECIAL = re.compile(rb'["\\\x00-\x1f]')
_SHORT = {
    ord("n"): b"\n",
    ord("t"): b"\t",
    ord("r"): b"\r",
    ord("b"): b"\b",
    ord("f"): b"\f",
    ord('"'): b'"',
    ord("\\"): b"\\",
    ord("/"): b"/",
}
_HEX = b"0123456789abcdefABCDEF"


class StringReplacing(Writing):
    """``partial`` is decoded; ``escape``: an escape of which more is to come."""

    __slots__ = ("escape",)

    def __init__(
        self,
        block: OpenEdit,
        lines: Line | None,
        partial: bytes,
        decoder: int,
        escape: bytes,
        pointer: Pointer,
        watching: Watching,
    ) -> None:
        super().__init__(block, lines, partial, decoder, pointer, watching)
        self.escape = escape

    @classmethod
    def begun(cls, block: OpenEdit) -> StringReplacing:
        """Behind the opening quote."""
        return cls(block, None, b"", START, b"", Pointer(), block.watching)

    @property
    def empty(self) -> bool:
        return super().empty and not self.escape

    def feed(self, data: bytes, step: Step) -> Zone | None:
        if self.stuck:
            return None
        lines, partial, decoder, escape, position = self.lines, self.partial, self.decoder, self.escape, 0
        watching = self.watching
        seen = len(partial)  # of the partial line, by the watches
        controls = self.ledger.targets[self.block.target].controls
        while position < len(data):
            if escape:
                escape += data[position : position + 1]
                position += 1
                if not self._viable(escape):
                    return None
                text = _unescaped(escape)
                if text is None:
                    continue
                escape, partial = b"", partial + text
                if text == b"\n":
                    after = watching.feed(partial[seen:])
                    if after is None:
                        return None
                    watching = after
                    count = step.tokens if position == len(data) else None
                    lines, partial, seen = Line(lines, partial, count, watching), b"", 0
                continue
            special = _SPECIAL.search(data, position)
            stop = special.start() if special else len(data)
            if stop > position:
                following = run(decoder, data[position:stop])
                if following is None or controls.search(data, position, stop):
                    return None
                decoder, partial, position = following, partial + data[position:stop], stop
                continue
            if decoder != START or data[position] < 0x20:
                return None
            if data[position] == 0x22:
                after = watching.feed(partial[seen:])
                return self._closed(lines, partial, after, data[position:], step) if after else None
            escape, position = b"\\", position + 1
        after = watching.feed(partial[seen:])
        if after is None or not after.completes(decoder):
            return None
        return StringReplacing(self.block, lines, partial, decoder, escape, self.pointer, after)

    def _viable(self, escape: bytes) -> bool:
        """Whether ``escape`` is, or begins, an escape of a character that may stand in the file; no half surrogates."""
        if len(escape) == 2:
            text = _unescaped(escape)
            return escape[1:] == b"u" or (text is not None and not self._forbidden(text))
        digits = escape[2:]
        if any(digit not in _HEX for digit in digits) or re.match(rb"[dD][89a-fA-F]", digits):
            return False
        if len(digits) == 3:
            return any(self._viable(escape + bytes((digit,))) for digit in _HEX)
        text = _unescaped(escape)
        return text is None or (text != b"\0" and not self._forbidden(text))

    def _forbidden(self, text: bytes) -> bool:
        return self.ledger.targets[self.block.target].controls.search(text) is not None

    def _closed(self, lines: Line | None, partial: bytes, watching: Watching, typed: bytes, step: Step) -> Zone | None:
        if not self.ledger.plan.closing_line.startswith(typed):
            return None
        replacement = joined(lines) + partial
        if partial and not self._may_end_inside_a_line:
            return None
        if not self.block.closes(replacement, watching, step):
            return None
        return Closing.at(self.block, replacement, len(typed))

    @property
    def _may_end_inside_a_line(self) -> bool:
        """Only where the text replaced has no last line feed either, or the file is new."""
        raw = self.ledger.targets[self.block.target].prepared.raw
        if not raw:
            return True
        return not raw.endswith(b"\n") and self.block.quote.start < self.block.quote.end == len(raw)

    def pointing(self, pointer: Pointer) -> Zone:
        return StringReplacing(self.block, self.lines, self.partial, self.decoder, self.escape, pointer, self.watching)

    def drafts(self, spelling: bytes) -> bool:
        return self.block.gate_is_cheap or b'"' not in spelling

    def mask(self) -> Int32Array:
        """Text without raw controls; inside an escape, what may begin its rest."""
        vocabulary = self.ledger.plan.vocabulary
        if self.stuck:
            return vocabulary.pack(())
        if self.escape == b"\\":
            return vocabulary.led_by(b'"\\/bfnrtu')
        if self.escape:
            return vocabulary.led_by(_HEX)
        mask = vocabulary.string_mask(self.decoder)
        if self.partial and not self._may_end_inside_a_line:
            mask = mask & ~vocabulary.led_by(b'"')
        return mask

    def guess(self, limit: int) -> Draft:
        plan, trail = self.ledger.plan, self.block.trail
        if trail.finished(self.pointer) and trail.tokens and not self.escape:
            return Draft(plan.tokens_after(b"", plan.closing_line)[:limit])
        tokens = trail.propose(self.pointer, limit)
        return Draft(tokens, evidence=self.pointer.evidence) if tokens else NOTHING


def _unescaped(escape: bytes) -> bytes | None:
    """What a complete escape stands for; None if more is to come."""
    if escape[1:2] != b"u":
        return _SHORT.get(escape[1])
    return chr(int(escape[2:], 16)).encode("utf-8", "surrogatepass") if len(escape) == 6 else None
