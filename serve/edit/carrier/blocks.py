"""Search/replace blocks in plain text: what a block searches for are lines that the conversation has shown of its file.

Lines of a file that is known whole are quoted until they are unique. Everything around a block, its new text included, is
free, but for what holds new text elsewhere. Knows no tokens but for masks.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, replace

from dovetail.serve.constrain.base import Int32Array
from dovetail.serve.constrain.vocabulary import Vocabulary
from dovetail.serve.edit.carrier.call import Call
from dovetail.serve.edit.carrier.lines import ShownLines
from dovetail.serve.edit.carrier.watch import START, Heads, State, Text, outside
from dovetail.serve.edit.known.chat_blocks import DIVIDER, END, holds_marker, path_above
from dovetail.serve.edit.zones.zone import tokens_through
from dovetail.serve.types import KnownFile

_DIVIDER, _END = DIVIDER.encode(), END.encode()


@dataclass(frozen=True, eq=False)
class BlockText(State):
    """In the lines that a block searches for: ``text`` of a line that is one of ``lines``, behind ``quoted``.

    ``closable``: the divider may come in place of the line.
    """

    heads: Heads
    call: Call
    shown: ShownLines
    lines: tuple[int, ...]
    closable: bool
    text: bytes = b""
    quoted: bytes = b""

    @property
    def holds(self) -> bool:
        """See State."""
        return True

    def take(self, data: bytes, at: int) -> tuple[State, int] | None:
        stop = data.find(b"\n", at) + 1 or len(data)
        text = self.text + data[at:stop]
        if self.closable and _DIVIDER.startswith(text):
            if text == _DIVIDER:
                call = self.call.says(self.call.tool.old, self.quoted.decode(errors="replace"))
                return replacement(self.heads, call), stop
            return replace(self, text=text, lines=()), stop
        texts = self.shown.texts
        lines = tuple(line for line in self.lines if texts[line].startswith(text))
        if not lines:
            return None
        if not text.endswith(b"\n"):
            return replace(self, text=text, lines=lines), stop
        after = self.shown.after(lines)
        closable = len(lines) == 1 or not self.shown.whole
        return replace(self, text=b"", lines=after, closable=closable, quoted=self.quoted + text), stop

    @property
    def rests(self) -> Set[bytes]:
        """What may come next, up to the line's end."""
        begun = len(self.text)
        found = {self.shown.texts[line][begun:] for line in self.lines}
        return found | {_DIVIDER[begun:]} if self.closable and _DIVIDER.startswith(self.text) else found

    def mask(self, vocabulary: Vocabulary) -> Int32Array:
        """The tokens that may come next; a superset where they go on behind the line."""
        begins = not self.quoted and not self.text
        kept = self.shown.masks.get(0) if begins else None
        if kept is not None:
            return kept
        found: set[int] = set()
        for rest in self.rests:
            found.update(tokens_through(vocabulary, b"", rest))
        mask = vocabulary.pack(found)
        if begins:
            self.shown.masks[0] = mask
        return mask

    def likely(self) -> tuple[bytes, bytes] | None:
        """The rest of the line, if it is clear which one it is, and what of it has come."""
        rests = {self.shown.texts[line][len(self.text) :] for line in self.lines}
        return (self.text, min(rests)) if len(rests) == 1 else None


class Replacement(Text):
    """In the text that a block puts in the place of the lines: it ends with a marker at the beginning of a line."""

    def _tagged(self, data: bytes, at: int) -> tuple[State, int] | None:
        written = self.written + data[at:]
        begin = max(0, len(self.written) - len(_END))
        while True:
            end = written.find(_END, begin)
            if end < 0:
                line = written[written.rfind(b"\n") + 1 :]
                return self._on(written, len(data), held_back=len(line) if _END.startswith(line) else 0)
            if not end or written[end - 1 : end] == b"\n":
                return self._ended(written[:end], at + end + len(_END) - len(self.written))
            begin = end + 1


def block_begins(heads: Heads, call: Call, head: bytes) -> State:
    """Behind a block's first line, which ``head`` ends with."""
    above = head[: head.rfind(b"\n", 0, -1) + 1].removeprefix(START)
    path = path_above(above.decode(errors="replace"))
    call = replace(call, path=path or call.path)
    file = call.file
    if file is None or any(holds_marker(piece) for piece in file.pieces):
        return outside(heads, call)
    pieces = tuple(piece if piece.endswith("\n") or not piece else f"{piece}\n" for piece in file.pieces)
    size, whole = sum(map(len, pieces)), file.whole
    shown = heads.texts.vocabulary.derived(
        ("block lines", pieces, whole), lambda: ShownLines(pieces, whole=whole, in_json=False), 4 * size
    )
    return BlockText(heads, call.knows(KnownFile(file.path, pieces, whole)), shown, shown.starting(0), closable=True)


def replacement(heads: Heads, call: Call) -> State:
    """Behind the divider."""
    return Replacement(heads, call, call.tool.new, _END, watch=call.watch(call.tool.new, in_json=False))
