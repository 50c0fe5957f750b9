"""The ground on which every dialect's reader stands: text comes in pieces of any size, markers are found whole.

A reader is written as one sequential program, a generator that waits for more text where it needs it (``yield``). Nothing
that could be the beginning of a marker is given out before it is known not to be one. Knows no family.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from typing import TypeVar

from dovetail.models.dialects.pieces import Piece, PieceKind

Result = TypeVar("Result")
Wait = Generator[None, None, Result]
"""A part of a reader that may wait for more text."""

THINK = ("<think>", "</think>")


class Reading:
    """Reads one answer. A family overrides :meth:`_answer`.

    Args:
        think: what opens and closes reasoning, or None if the model has none.
        thinking: whether the prompt ends inside reasoning already.
    """

    def __init__(self, *, think: tuple[str, str] | None = None, thinking: bool = False) -> None:
        self._think = think
        self._thinking = thinking and think is not None
        self._buffer = ""
        self._closed = False
        self._done = False
        self._out: list[Piece] = []
        self._trial: list[str] | None = None
        self._space = ""
        self._trim = False
        self._program = self._whole()
        next(self._program)

    def feed(self, text: str) -> list[Piece]:
        """What became certain with this text."""
        self._buffer += text
        return self._advance() if text else []

    def finish(self) -> list[Piece]:
        """What was held back when the output ended."""
        self._closed = True
        return self._advance()

    def _answer(self) -> Wait[None]:
        """What follows the reasoning, to the end of the output."""
        yield from self._rest()

    def _advance(self) -> list[Piece]:
        if not self._done:
            self._done = next(self._program, True) is True
        pieces, self._out = self._out, []
        return pieces

    def _whole(self) -> Wait[None]:
        yield
        yield from self._thought()
        yield from self._answer()
        if not self._trim:
            self._emit("text", self._space)

    def _thought(self) -> Wait[None]:
        if self._think is None:
            return
        opener, closer = self._think
        if not self._thinking:
            self._begin()
            yield from self._blank()
            if not (yield from self._take(opener)):
                self._abandon()
                return
            self._commit()
        yield from self._blank_dropped()
        yield from self._trimmed("reasoning", (closer,))
        self._structure()

    # What comes out.

    def _emit(self, kind: PieceKind, text: str = "") -> None:
        if text or kind in ("call", "end"):
            self._out.append(Piece(kind, text))

    def _say(self, text: str) -> None:
        """Text of the answer. White space beside reasoning and calls belongs to them, so it is held back at the end."""
        text = self._space + text
        if self._trim:
            text = text.lstrip()
        body = text.rstrip()
        self._space = text[len(body) :]
        if body:
            self._trim = False
            self._emit("text", body)

    def _structure(self) -> None:
        """Reasoning or a call stands here: the white space around it is not text."""
        self._space = ""
        self._trim = True

    def _call(self, name: str) -> None:
        self._structure()
        self._emit("call", name)

    # Trials: text that turns out not to be what it looked like is said after all.

    def _begin(self) -> None:
        self._trial = []

    def _commit(self) -> None:
        self._trial = None

    def _abandon(self) -> None:
        taken = "".join(self._trial or ())
        self._trial = None
        self._say(taken)

    def _consume(self, length: int) -> str:
        text, self._buffer = self._buffer[:length], self._buffer[length:]
        if self._trial is not None:
            self._trial.append(text)
        return text

    # What comes in.

    def _peek(self, length: int = 1) -> Wait[str]:
        """The next characters, fewer at the end of the output."""
        while len(self._buffer) < length and not self._closed:
            yield
        return self._buffer[:length]

    def _next(self, *literals: str) -> Wait[str]:
        """Which of ``literals`` comes next, without consuming it; empty if none does."""
        while True:
            for literal in literals:
                if self._buffer.startswith(literal):
                    return literal
            if self._closed or not any(literal.startswith(self._buffer) for literal in literals):
                return ""
            yield

    def _take(self, literal: str) -> Wait[bool]:
        """Consume ``literal`` if it comes next."""
        if not (yield from self._next(literal)):
            return False
        self._consume(len(literal))
        return True

    def _blank(self) -> Wait[None]:
        """Consume white space."""
        while True:
            blank = len(self._buffer) - len(self._buffer.lstrip())
            ended = blank < len(self._buffer)
            self._consume(blank)
            if ended or self._closed:
                return
            yield

    def _blank_dropped(self) -> Wait[None]:
        trial, self._trial = self._trial, None
        yield from self._blank()
        self._trial = trial

    def _until(self, *markers: str) -> Wait[tuple[str, str]]:
        """Consume up to and with the first of ``markers``: the text before it, and which it was (empty: the output ended)."""
        pattern = _pattern(markers)
        at = 0
        while True:
            hit = pattern.search(self._buffer, at)
            if hit is not None:
                text = self._buffer[: hit.start()]
                self._consume(hit.end())
                return text, hit.group()
            if self._closed:
                return self._consume(len(self._buffer)), ""
            at = len(self._buffer) - held_back(self._buffer, markers)
            yield

    def _copy(self, kind: PieceKind, markers: Sequence[str]) -> Wait[str]:
        """Give out what comes as ``kind`` up to the first of ``markers``, which is consumed and returned."""
        pattern = _pattern(markers)
        while True:
            hit = pattern.search(self._buffer)
            end = hit.start() if hit is not None else len(self._buffer)
            if hit is None and not self._closed:
                end -= held_back(self._buffer, markers)
            text, self._buffer = self._buffer[:end], self._buffer[end:]
            if kind == "text":
                self._say(text)
            else:
                self._emit(kind, text)
            if hit is not None:
                self._consume(len(hit.group()))
                return hit.group()
            if self._closed:
                return ""
            yield

    def _rest(self) -> Wait[None]:
        """Give out everything that comes as text, without holding anything back."""
        if self._trim:
            yield from self._blank_dropped()
            self._trim = False
        self._emit("text", self._space)
        self._space = ""
        while True:
            self._emit("text", self._buffer)
            self._buffer = ""
            if self._closed:
                return
            yield

    def _trimmed(self, kind: PieceKind, markers: Sequence[str]) -> Wait[str]:
        """As :meth:`_copy`, without the white space before the marker."""
        held = ""
        pattern = _pattern(markers)
        while True:
            hit = pattern.search(self._buffer)
            end = hit.start() if hit is not None else len(self._buffer)
            if hit is None and not self._closed:
                end -= held_back(self._buffer, markers)
            text = held + self._buffer[:end]
            self._buffer = self._buffer[end:]
            body = text.rstrip()
            held = text[len(body) :]
            self._emit(kind, body)
            if hit is not None:
                self._consume(len(hit.group()))
                return hit.group()
            if self._closed:
                return ""
            yield


def held_back(text: str, markers: Sequence[str]) -> int:
    """The length of the longest end of ``text`` that one of ``markers`` begins with."""
    longest = max((len(marker) for marker in markers), default=0)
    for length in range(min(longest - 1, len(text)), 0, -1):
        tail = text[-length:]
        if any(marker.startswith(tail) for marker in markers):
            return length
    return 0


def _pattern(markers: Sequence[str]) -> re.Pattern[str]:
    return re.compile("|".join(re.escape(marker) for marker in sorted(markers, key=len, reverse=True)))
