"""In an ``apply_patch`` text while it is written: lines that stand for old ones are held to the known lines of their file.

A context or deleted line must be the next known line, or at the beginning of a hunk any known line behind the hunk before;
what follows ``@@`` must be a known line, its blanks aside. Everything else is let through: added lines, headers, and all
of a file that is not known.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from dovetail.serve.constrain.base import Int32Array
from dovetail.serve.constrain.vocabulary import Vocabulary
from dovetail.serve.edit.carrier.call import Call, decoded
from dovetail.serve.edit.carrier.lines import HeldLine, ShownLines
from dovetail.serve.edit.carrier.new_text import text_of
from dovetail.serve.edit.carrier.watch import Heads, State, outside, value_ends
from dovetail.serve.edit.formats.apply_patch.parse import ADD, BEGIN, DELETE, END, MOVE, UPDATE
from dovetail.serve.edit.zones.zone import tokens_through

_QUOTE = b'"'
_ANCHOR = b"@@ "


@dataclass(frozen=True, eq=False)
class Section:
    """The part of a patch about one known file.

    ``next``: the lines that may come next in this hunk; None: the hunk begins. ``first``: where the hunk may begin.
    ``sign``: how the last line that was held began.
    """

    shown: ShownLines
    next: tuple[int, ...] | None = None
    first: int = 0
    sign: bytes = b" "

    @property
    def candidates(self) -> tuple[int, ...]:
        """The lines that may come next."""
        return self.shown.starting(self.first) if self.next is None else self.next

    def mask(self, vocabulary: Vocabulary) -> Int32Array:
        """The tokens that may begin a line: old ones as they are known, and whatever begins no old line."""
        kept = self.shown.masks.get(self.first) if self.next is None else None
        if kept is not None:
            return kept
        feed = self.shown.feed
        found: set[int] = set()
        for text in {self.shown.texts[line] for line in self.candidates}:
            for begun in (b" " + text, b"-" + text, *((text,) if text == feed else ())):
                found.update(tokens_through(vocabulary, b"", begun))
        mask: Int32Array = vocabulary.pack(found) | ~vocabulary.led_by(b" -" + feed[:1])
        if self.next is None:
            self.shown.masks[self.first] = mask
        return mask

    def behind(self, line: HeldLine, sign: bytes) -> Section:
        """Behind a held line."""
        matched = line.matched
        if sign == _ANCHOR:
            return replace(self, next=None, first=matched[0] + 1)
        return replace(self, next=self.shown.after(matched), first=matched[0] + 1, sign=sign)

    def new_hunk(self) -> Section:
        """Behind ``@@``."""
        return replace(self, next=None)


@dataclass(frozen=True, eq=False)
class Patching(State):
    """``lines``: those that are complete; ``text``: the current one.

    ``begun``: between the patch's first and last line. ``section``: the known file that it is in; ``held``: the old line
    that it is in, and how that began. ``escape``: behind a backslash in JSON.
    """

    heads: Heads
    call: Call
    key: str
    closer: bytes
    lines: tuple[bytes, ...] = ()
    text: bytes = b""
    begun: bool = False
    section: Section | None = None
    held: HeldLine | None = None
    sign: bytes = b""
    escape: bool = False

    @property
    def holds(self) -> bool:
        """Whether it is in an old line."""
        return self.held is not None

    @property
    def in_json(self) -> bool:
        """Whether it is written inside a JSON string."""
        return self.closer == _QUOTE

    @property
    def written(self) -> bytes:
        """All of it so far."""
        return b"".join(self.lines) + self.text

    @property
    def at_line(self) -> bool:
        """Whether a line begins here, in the section of a known file."""
        return self.section is not None and not self.text

    def take(self, data: bytes, at: int) -> tuple[State, int] | None:
        byte = data[at : at + 1]
        if self.held is not None:
            return self._old(byte, at)
        if self.in_json and byte == _QUOTE and not self.escape:
            return self._ended(self.written), at + 1
        if self.at_line and self.section is not None:
            begun = self._line_begins(self.section, byte)
            if begun is None:
                return None
            if begun is not self:
                return begun, at + 1
        if self._anchor_begins(byte) and self.section is not None:
            starts = self.section.shown.starting(self.section.first)
            if not starts:
                return None  # No line is left that the hunk could lie behind.
            held = HeldLine(self.section.shown, starts, starts)
            return replace(self._with(byte), held=held, sign=_ANCHOR), at + 1
        return self._free(byte, at) if self._path_holds(byte) else None

    def _path_holds(self, byte: bytes) -> bool:
        """Whether the policy lets a header's path go on with ``byte``."""
        ruling = self.heads.texts.ruling
        if ruling is None or not self.begun or not self.text.startswith(b"*** "):
            return True
        written = self.text + byte
        ended = byte == b"n" and self.escape if self.in_json else byte == b"\n"
        line = text_of(written, in_json=self.in_json)
        for head in (UPDATE, ADD, DELETE, MOVE):
            if line.startswith(head):
                path = line.removeprefix(head).strip()
                return ruling.path_may_be(path, ended=ended, created=ended and head in (ADD, MOVE))
        return True

    def _free(self, byte: bytes, at: int) -> tuple[State, int]:
        """In a line that nothing holds."""
        after = self._with(byte)
        if self.in_json:
            if not self.escape:
                return (replace(after, escape=True) if byte == b"\\" else after), at + 1
            after = replace(after, escape=False)
            return (after._line_ended() if byte == b"n" else after), at + 1
        after = after._line_ended() if byte == b"\n" else after
        if not self.closer:
            if after.text != END.encode() or not self.begun:
                return after, at + 1
            return outside(self.heads, self.call.says(self.key, after.written.decode(errors="replace"))), at + 1
        tail = b"".join(after.lines[-3:]) + after.text
        if tail.endswith(self.closer):
            return self._ended(after.written[: -len(self.closer)]), at + 1
        return after, at + 1

    def _ended(self, written: bytes) -> State:
        return value_ends(self.heads, self.call, self.key, written, self.closer)

    def _with(self, byte: bytes) -> Patching:
        return replace(self, text=self.text + byte)

    def _line_begins(self, section: Section, byte: bytes) -> Patching | None:
        """Where the line is an old one, what holds it; itself where nothing does."""
        if byte in (b" ", b"-"):
            lines = section.candidates
            return replace(self._with(byte), held=HeldLine(section.shown, lines), sign=byte) if lines else None
        if byte == section.shown.feed[:1]:  # an empty line is a context line that lost its blank
            blank = tuple(line for line in section.candidates if section.shown.texts[line] == section.shown.feed)
            held = HeldLine(section.shown, blank).feed(byte)
            return replace(self._with(byte), sign=b" ")._holding(held) if held is not None else None
        return self

    def _anchor_begins(self, byte: bytes) -> bool:
        return self.section is not None and byte == b" " and self.text == b"@@"

    def _old(self, byte: bytes, at: int) -> tuple[State, int] | None:
        assert self.held is not None
        held = self.held.feed(byte)
        return (self._with(byte)._holding(held), at + 1) if held is not None else None

    def _holding(self, held: HeldLine) -> Patching:
        """In the line, or behind it."""
        if not held.matched:
            return replace(self, held=held)
        assert self.section is not None
        return replace(self._next_line(), held=None, section=self.section.behind(held, self.sign), sign=b"")

    def _line_ended(self) -> Patching:
        """Behind a line that nothing held: headers say what is next."""
        line = (decoded(self.text) if self.in_json else self.text.decode(errors="replace")).rstrip("\n")
        after = self._next_line()
        if line.strip() == END or (line.strip() == BEGIN and self._may_begin()):
            return replace(after, begun=line.strip() == BEGIN, section=None)
        if not self.begun:
            return after
        if line.startswith(UPDATE):
            return replace(after, section=self.section_of(line.removeprefix(UPDATE)))
        if line.startswith((ADD, DELETE)):
            return replace(after, section=None)
        if line.startswith("@@") and self.section is not None:
            return replace(after, section=self.section.new_hunk())
        return after

    def _may_begin(self) -> bool:
        """Whether this is a patch to be applied, rather than a script that happens to hold one."""
        before = b"".join(self.lines)
        return not before.strip() or b"apply_patch" in before or b"applypatch" in before

    def _next_line(self) -> Patching:
        return replace(self, lines=(*self.lines, self.text), text=b"")

    def section_of(self, path: str) -> Section | None:
        """The part about a file before its first line; None: nothing is known that its old lines could be held to."""
        call = replace(self.call, path=path)
        file = call.file
        if file is None or not any(file.pieces):
            return None
        closer = self.closer.decode()
        if closer and not self.in_json and any(closer in piece for piece in file.pieces):
            return None  # a reader would take the patch to be over
        size = sum(map(len, file.pieces))
        closed = self.call.texts.closed(file)
        shown = self.call.texts.vocabulary.derived(
            ("shown lines", file.pieces, file.whole, self.in_json, closed),
            lambda: ShownLines(file.pieces, whole=file.whole, in_json=self.in_json, closed=closed),
            size * 4,
        )
        return Section(shown)

    def mask(self, vocabulary: Vocabulary) -> Int32Array | None:
        """The tokens that may come next; None: any."""
        if self.held is not None:
            found: set[int] = set()
            for rest in self.held.rests:
                found.update(tokens_through(vocabulary, b"", rest))
            return vocabulary.pack(found)
        if not self.at_line or self.section is None:
            return None
        return self.section.mask(vocabulary)

    def likely(self) -> tuple[bytes, bytes] | None:
        """What comes next if the old lines go on, with the line's beginning before it; None: too many places."""
        section = self.section
        if self.held is not None:
            rests = self.held.rests
            return (self.text, min(rests)) if len(rests) == 1 else None
        if self.at_line and section is not None and section.next is not None and len(section.next) == 1:
            return b"", section.sign + section.shown.texts[section.next[0]]
        return None


def patch_begins(heads: Heads, call: Call, key: str, closer: bytes) -> Patching:
    """Behind what opens a patch. ``closer`` empty: it ends with its own last line."""
    return Patching(heads, call, key, closer)
