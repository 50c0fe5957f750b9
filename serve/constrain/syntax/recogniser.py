"""Can this text still become a file of its language? Immutable states, told piece by piece what comes next.

Exact for the language tree-sitter reads without error, but for the last token while more text might prolong it, and for what
LALR merging lets pass a few tokens longer. A state never says no where a completion exists; where a limit is hit it says
that it does not know. Knows texts, not files, edits or tokens of a model. The work is done by native.py or reference.py.
"""

from __future__ import annotations

from functools import cache
from typing import Protocol

from dovetail.serve.constrain.syntax.native import Native, library
from dovetail.serve.constrain.syntax.reference import Reference
from dovetail.serve.constrain.syntax.snapshot import START, UnclearError

_PIECE = 1 << 16


class Loop(Protocol):
    """The inner loop: native.Native or reference.Reference."""

    def feed(self, content: bytes, data: bytes) -> bytes | None: ...

    def accepts(self, content: bytes) -> bool: ...


class State:
    """Where a text stands. States are equal where every text that may follow is judged alike; an unknown one equals none."""

    __slots__ = ("_loop", "snapshot")

    def __init__(self, loop: Loop, snapshot: bytes | None) -> None:
        self._loop = loop
        self.snapshot = snapshot

    @property
    def known(self) -> bool:
        """False: nothing can be said about this text or any that goes on from it; ask the gate."""
        return self.snapshot is not None

    def feed(self, data: bytes) -> State | None:
        """The state behind ``data``; None: no file of the language goes on like this. May cut tokens and characters."""
        snapshot: bytes | None = self.snapshot
        if snapshot is None:
            return self
        try:
            if len(data) <= _PIECE:
                snapshot = self._loop.feed(snapshot, data)
                return None if snapshot is None else State(self._loop, snapshot)
            for start in range(0, len(data), _PIECE):
                snapshot = self._loop.feed(snapshot, data[start : start + _PIECE])
                if snapshot is None:
                    return None
        except UnclearError:
            snapshot = None
        return State(self._loop, snapshot)

    def accepts(self) -> bool | None:
        """Whether a file may end here; None: not known."""
        if self.snapshot is None:
            return None
        try:
            return self._loop.accepts(self.snapshot)
        except UnclearError:
            return None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, State) or self._loop is not other._loop:
            return False
        return self.snapshot is not None and self.snapshot == other.snapshot

    def __hash__(self) -> int:
        return hash(self.snapshot)


class Recogniser:
    """Judges texts of one language.

    Args:
        language: a name from languages.LANGUAGES.
        native: whether to run the loop in C; None: where it is built.

    Raises:
        TableError: the grammar's tables are not of a kind known here.
        ValueError: ``native`` is asked for and not built.
    """

    def __init__(self, language: str, native: bool | None = None) -> None:
        self.language = language
        loaded = library() if native is not False else None
        if native and loaded is None:
            raise ValueError("the recogniser's library is not built")
        self.native = loaded is not None
        self._loop: Loop = Native(language, loaded) if loaded is not None else Reference(language)

    def start(self) -> State:
        """Before the first byte of a file."""
        return State(self._loop, START)

    def unknown(self) -> State:
        """A state that says nothing."""
        return State(self._loop, None)


@cache
def recogniser(language: str) -> Recogniser:
    """The recogniser of a language, made once: it keeps nothing of the texts it sees."""
    return Recogniser(language)
