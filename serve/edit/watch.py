"""What watches new text while it is written: the syntax recogniser, and whatever else a plan brings. Decides nothing itself.

A watch sees the text of one edit from its beginning, in the order in which it will stand in the file, in whatever pieces the
tokens cut it. States are immutable: a draft, a refused token or a retreat costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from dovetail.serve.constrain.syntax.recogniser import State
from dovetail.serve.constrain.utf8 import ONE_MISSING, completions

if TYPE_CHECKING:
    from dovetail.serve.edit.ledger import Ledger


class Watch(Protocol):
    """A judge of one edit's text. Refusing a token makes the model draw another, so a refusal must be exact: no way of going
    on may be left."""

    def feed(self, data: bytes, new: bool) -> Watch | None:
        """The state behind ``data``; None: no edit goes on like this. Not ``new``: a line of the file that stays (hunks)."""
        ...

    def may_end(self) -> bool:
        """Whether the edit may end behind what was fed: asked before the terminator."""
        ...


Opening = Callable[["Ledger", int, int | None], Watch | None]
"""Makes the watch of an edit of a target, from what the output has done before, if it has a say there.

The number: where in the file's raw bytes the edit begins; None while that is not known (a hunk's first new lines).
"""


class Watching:
    """All watches of one edit, in one state.

    ``syntax``: the recogniser behind the text, held-back line feed left out; None: it has no say. ``lags``: hold the last
    line feed back until more comes, since at the end of a file without a final one it is not meant.
    """

    __slots__ = ("_late", "_watches", "idle", "lags", "syntax")

    def __init__(
        self, syntax: State | None, watches: tuple[Watch, ...] = (), lags: bool = False, late: bool = False
    ) -> None:
        self.syntax = syntax
        self._watches = watches
        self.lags = lags
        self._late = late
        self.idle = syntax is None and not watches

    def feed(self, data: bytes, new: bool = True) -> Watching | None:
        """The state behind ``data``; None if a watch refuses it."""
        if self.idle or not data:
            return self
        watches = self._watches
        if watches:
            seen = [watch.feed(data, new) for watch in watches]
            watches = tuple(watch for watch in seen if watch is not None)
            if len(watches) < len(seen):
                return None
        syntax, late = self.syntax, False
        if syntax is not None:
            if self.lags:
                data = b"\n" + data if self._late else data
                late = data.endswith(b"\n")
                data = data[:-1] if late else data
            syntax = syntax.feed(data) if data else syntax
            if syntax is None:
                return None
        return Watching(syntax, watches, self.lags, late)

    def completes(self, decoder: int) -> bool:
        """Whether the character that the text ends inside of has an end that the recogniser takes.

        It cannot know before, and half a character from which nothing leads on is a dead end. Asked where one byte is missing:
        the ways to end it are too many to try before.
        """
        if self.syntax is None or decoder != ONE_MISSING or not self.syntax.known:
            return True
        return any(self.syntax.feed(rest) is not None for rest in completions())

    def ended(self, cut_short: bool) -> Watching | None:
        """With the line feed held back, unless it is ``cut_short``; None if the recogniser refuses it."""
        if not self._late or cut_short or self.syntax is None:
            return self
        syntax = self.syntax.feed(b"\n")
        return Watching(syntax, self._watches) if syntax is not None else None

    def may_end(self) -> bool:
        """Whether every watch but the recogniser lets the edit end."""
        return all(watch.may_end() for watch in self._watches)
