"""Reads an output while it is written, for calls of edit tools. Immutable states over bytes; knows no tokens.

Only inside a held quotation is anything refused; whatever cannot be followed is let through.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from dovetail.serve.edit.carrier.call import Call, Files, Texts, decoded
from dovetail.serve.edit.carrier.quoting import Quoting
from dovetail.serve.edit.carrier.text_watch import TextWatch
from dovetail.serve.types import CarrierTool

START = "\ufffd".encode()
"""Stands before the output, for heads that only its beginning can be."""
_TAIL = 400
_QUOTE = b'"'
_BLANK = b" \t\r\n"
_SPECIAL = re.compile(rb'["\\]')
_VALUE_END = re.compile(rb"[,}\]\s]")


@dataclass(frozen=True, eq=False)
class Heads:
    """What calls of edit tools begin with.

    ``patch``: the state behind what opens a patch: where it goes on, and what closes it. ``begun``: by style, the state behind
    the head of a call, which ends as given, and between its arguments.
    """

    tools: Sequence[CarrierTool]
    pattern: re.Pattern[bytes]
    texts: Texts
    patch: Callable[[Heads, Call, str, bytes], State]
    begun: Mapping[str, Callable[[Heads, Call, bytes], State]]

    @classmethod
    def of(
        cls,
        tools: Sequence[CarrierTool],
        texts: Texts,
        patch: Callable[[Heads, Call, str, bytes], State],
        begun: Mapping[str, Callable[[Heads, Call, bytes], State]],
    ) -> Heads:
        """For ``tools``."""
        parts = [f"(?P<t{index}>{tool.head})" for index, tool in enumerate(tools)]
        return cls(tools, re.compile("|".join(parts).encode(), re.DOTALL), texts, patch, begun)


class State(ABC):
    """A place in the output."""

    __slots__ = ()
    heads: Heads

    @property
    def holds(self) -> bool:
        """Whether the output is in the middle of something that is held."""
        return False

    @abstractmethod
    def take(self, data: bytes, at: int) -> tuple[State, int] | None:
        """The state after some of ``data`` from ``at``, and how far that is; None if it must not come."""


def fed(state: State, data: bytes) -> State | None:
    """The state after all of ``data``."""
    at = 0
    while at < len(data):
        taken = state.take(data, at)
        if taken is None:
            return None
        state, at = taken
    return state


@dataclass(frozen=True, eq=False)
class Outside(State):
    """In no call that is followed. ``tail``: the last bytes. ``last``: the file that the call before was about."""

    heads: Heads
    files: Files
    tail: bytes = START
    last: str | None = None

    def take(self, data: bytes, at: int) -> tuple[State, int]:
        text = self.tail + data[at:]
        match = self.heads.pattern.search(text)
        while match is not None and match.end() <= len(self.tail):
            match = self.heads.pattern.search(text, match.end())
        if match is None:
            return replace(self, tail=text[-_TAIL:]), len(data)
        tool = self.heads.tools[next(index for index in range(len(self.heads.tools)) if match[f"t{index}"] is not None)]
        call = Call(tool, self.heads.texts, self.files, path=self.last)
        behind = at + match.end() - len(self.tail)
        if tool.style == "plain":
            return self.heads.patch(self.heads, call, tool.patch, b""), behind
        begun = self.heads.begun.get(tool.style)
        if begun is not None:
            return begun(self.heads, call, text[: match.end()]), behind
        if tool.style != "tagged":
            return Members(self.heads, call), behind
        opening = tool.tags[0].encode()
        return Between(self.heads, call, opening if text[: match.end()].endswith(opening) else b""), behind


def outside(heads: Heads, call: Call, tail: bytes = b"") -> Outside:
    """Behind a call."""
    return Outside(heads, call.done(), tail, call.path if call.tool.style == "blocks" else None)


def between(heads: Heads, call: Call) -> State:
    """Between the arguments of a call, between the members of one of its edits, or behind a block."""
    if call.listed or call.tool.style == "json":
        return Members(heads, call, "next")
    if call.tool.style == "blocks":
        return outside(heads, call)
    begun = heads.begun.get(call.tool.style)
    return begun(heads, call, b"") if begun is not None else Between(heads, call)


@dataclass(frozen=True, eq=False)
class Members(State):
    """Between the members of an arguments object, in a key, or in a value that is no string.

    ``phase``: open, next, key, colon, value, literal or nested. ``text``: the key or literal so far; ``depth``, ``escape``
    and ``quoted`` are of a nested value.
    """

    heads: Heads
    call: Call
    phase: str = "open"
    key: str = ""
    text: bytes = b""
    depth: int = 0
    quoted: bool = False
    escape: bool = False

    def take(self, data: bytes, at: int) -> tuple[State, int]:
        byte = data[at : at + 1]
        if self.phase == "key":
            return self._in_key(byte), at + 1
        if self.phase == "nested":
            return self._nested(byte), at + 1
        if self.phase == "literal":
            if _VALUE_END.match(byte) is None:
                return replace(self, text=self.text + byte), at + 1
            call = self.call.says(self.key, self.text.decode(errors="replace"))
            return Members(self.heads, call, "next"), at
        if byte in _BLANK:
            return self, at + 1
        if self.phase == "open":
            return (replace(self, phase="next"), at + 1) if byte == b"{" else (outside(self.heads, self.call), at)
        if self.phase == "colon":
            return (replace(self, phase="value"), at + 1) if byte == b":" else (outside(self.heads, self.call), at)
        if self.phase == "value":
            return self._value(byte, at)
        if byte == b"}" and self.call.listed:
            return Listed(self.heads, self.call.next_edit()), at + 1
        if byte == b",":
            return self, at + 1
        if byte == _QUOTE:
            return replace(self, phase="key", text=b""), at + 1
        return outside(self.heads, self.call, byte), at + 1

    def _in_key(self, byte: bytes) -> State:
        if self.escape or byte == b"\\":
            return replace(self, text=self.text + byte, escape=not self.escape)
        if byte != _QUOTE:
            return replace(self, text=self.text + byte)
        return replace(self, phase="colon", key=decoded(self.text), text=b"")

    def _value(self, byte: bytes, at: int) -> tuple[State, int]:
        if byte == _QUOTE:
            return value_begins(self.heads, self.call, self.key, _QUOTE), at + 1
        if byte == b"[" and self.key == self.call.tool.edits and not self.call.listed:
            return Listed(self.heads, self.call), at + 1
        if byte in b"{[":
            return replace(self, phase="nested", depth=1, quoted=False, escape=False), at + 1
        return replace(self, phase="literal", text=b""), at

    def _nested(self, byte: bytes) -> State:
        if self.quoted:
            if self.escape or byte == b"\\":
                return replace(self, escape=not self.escape)
            return replace(self, quoted=byte != _QUOTE)
        depth = self.depth + (byte in b"{[") - (byte in b"}]")
        if depth == 0:
            return Members(self.heads, self.call, "next")
        return replace(self, depth=depth, quoted=byte == _QUOTE)


@dataclass(frozen=True, eq=False)
class Listed(State):
    """Between the edits of a list. Whatever is no such list is not followed further."""

    heads: Heads
    call: Call

    def take(self, data: bytes, at: int) -> tuple[State, int]:
        byte = data[at : at + 1]
        if byte in _BLANK or byte == b",":
            return self, at + 1
        if byte == b"{":
            return Members(self.heads, replace(self.call, listed=True), "next"), at + 1
        if byte == b"]":
            closer = self.call.tool.tags[2].encode()
            return (Closing(self.heads, self.call, closer) if closer else between(self.heads, self.call)), at + 1
        return outside(self.heads, self.call, byte), at + 1


@dataclass(frozen=True, eq=False)
class Closing(State):
    """Behind a tagged list: what is left of its tag."""

    heads: Heads
    call: Call
    rest: bytes

    def take(self, data: bytes, at: int) -> tuple[State, int]:
        byte = data[at : at + 1]
        if not self.rest.startswith(byte):
            return outside(self.heads, self.call, byte), at + 1
        rest = self.rest[1:]
        return (replace(self, rest=rest) if rest else between(self.heads, self.call)), at + 1


def value_begins(heads: Heads, call: Call, key: str, closer: bytes) -> State:
    """Behind what opens a text."""
    if call.tool.old and key == call.tool.old:
        quoting = call.quoting(in_json=closer == _QUOTE)
        if quoting is not None:
            return Held(heads, call, closer, quoting)
    if call.tool.patch and key == call.tool.patch:
        return heads.patch(heads, call, key, closer)
    return Text(heads, call, key, closer, watch=call.watch(key, in_json=closer == _QUOTE))


def value_ends(heads: Heads, call: Call, key: str, written: bytes, closer: bytes) -> State:
    """Behind what closes a text."""
    text = decoded(written) if closer == _QUOTE else written.decode(errors="replace")
    return between(heads, call.says(key, text))


@dataclass(frozen=True, eq=False)
class Text(State):
    """In a text that is no quotation: a path, a new text, a description. ``escape``: behind a backslash in JSON.

    ``watch``: what holds a new text to its file's language, and all of it to a policy.
    """

    heads: Heads
    call: Call
    key: str
    closer: bytes
    written: bytes = b""
    escape: bool = False
    watch: TextWatch | None = None

    @property
    def replaces(self) -> bool:
        """Whether it is the text that comes in the place of a quoted one."""
        return self.key == self.call.tool.new and self.call.old is not None

    def take(self, data: bytes, at: int) -> tuple[State, int] | None:
        if self.closer != _QUOTE:
            return self._tagged(data, at)
        if self.escape:
            return self._on(self.written + data[at : at + 1], at + 1)
        special = _SPECIAL.search(data, at)
        if special is None:
            return self._on(self.written + data[at:], len(data))
        written = self.written + data[at : special.start()]
        if special.group() == _QUOTE:
            return self._ended(written, special.end())
        return self._on(written + b"\\", special.end(), escape=True)

    def _tagged(self, data: bytes, at: int) -> tuple[State, int] | None:
        written = self.written + data[at:]
        end = written.find(self.closer, max(0, len(self.written) - len(self.closer)))
        if end < 0:
            closer = self.closer
            begun = next((size for size in range(len(closer) - 1, 0, -1) if written.endswith(closer[:size])), 0)
            return self._on(written, len(data), held_back=begun)
        return self._ended(written[:end], at + end + len(self.closer) - len(self.written))

    def _on(self, written: bytes, at: int, *, escape: bool = False, held_back: int = 0) -> tuple[State, int] | None:
        watch = self.watch.after(written, held_back) if self.watch is not None else None
        if watch is None and self.watch is not None:
            return None
        return replace(self, written=written, escape=escape, watch=watch), at

    def _ended(self, written: bytes, at: int) -> tuple[State, int] | None:
        if self.watch is not None:
            watch = self.watch.after(written)
            if watch is None or not watch.ends(written):
                return None
        return value_ends(self.heads, self.call, self.key, written, self.closer), at


@dataclass(frozen=True, eq=False)
class Held(State):
    """In an old text. ``quoting`` None: it has ended; ``closing`` of ``closer``'s bytes have come, behind ``ended``."""

    heads: Heads
    call: Call
    closer: bytes
    quoting: Quoting | None
    ended: Quoting | None = None
    closing: int = 0

    @property
    def holds(self) -> bool:
        """See State."""
        return True

    def take(self, data: bytes, at: int) -> tuple[State, int] | None:
        quoting = self.quoting
        byte = data[at]
        ended, closing = None, 0
        if self.closing and self.closer[self.closing] == byte:
            ended, closing = self.ended, self.closing + 1
        elif byte == self.closer[0] and quoting is not None and quoting.ends():
            ended, closing = quoting, 1
        if ended is not None and closing == len(self.closer):
            return value_ends(self.heads, self.call, self.call.tool.old, ended.quoted, self.closer), at + 1
        stop = at + 1
        if quoting is not None:
            if not closing:
                following = data.find(self.closer[:1], at + 1)
                stop = following if following > 0 else len(data)
            quoting = quoting.feed(data[at:stop])
        if quoting is None and ended is None:
            return None
        return replace(self, quoting=quoting, ended=ended, closing=closing), stop


@dataclass(frozen=True, eq=False)
class Between(State):
    """Between tagged values, or in a value's name. ``seen``: what has come since the last value."""

    heads: Heads
    call: Call
    seen: bytes = b""

    def take(self, data: bytes, at: int) -> tuple[State, int]:
        opening, middle, closer = (tag.encode() for tag in self.call.tool.tags)
        seen = (self.seen + data[at : at + 1]).lstrip(_BLANK)
        if not (seen.startswith(opening) or opening.startswith(seen)):
            return outside(self.heads, self.call, seen), at + 1
        name = seen[len(opening) :]
        if seen.startswith(opening) and name.endswith(middle):
            key = name[: -len(middle)].decode(errors="replace")
            if key == self.call.tool.edits:
                return Members(self.heads, self.call, "value", key), at + 1
            return value_begins(self.heads, self.call, key, closer), at + 1
        return replace(self, seen=seen), at + 1
