"""Zones of an edit whose place is settled: its replacement while it is written, however it is spelled, and its terminator.

What the replacement may hold is its format's business.
"""

from __future__ import annotations

from abc import abstractmethod

from dovetail.serve.constrain.base import Draft, Int32Array
from dovetail.serve.edit.watch import Watching
from dovetail.serve.edit.zones.choice import Closed
from dovetail.serve.edit.zones.open_edit import Line, OpenEdit, joined
from dovetail.serve.edit.zones.zone import FirstLine, Step, Zone
from dovetail.serve.pointer import Pointer


class InEdit(Zone):
    """Behind the quotation of ``block``."""

    __slots__ = ("block",)

    def __init__(self, block: OpenEdit) -> None:
        super().__init__(block.ledger, block.begin)
        self.block = block

    def first_line(self) -> FirstLine | None:
        return self.block.first_line

    def given_up(self) -> tuple[int | None, frozenset[int]]:
        return self.block.given_up()


class Writing(InEdit):
    """Inside a replacement: its finished ``lines``, the beginning of the current one, the UTF-8 decoder's state, the draft's
    pointer and the watches."""

    __slots__ = ("decoder", "lines", "partial", "pointer", "watching")

    def __init__(
        self,
        block: OpenEdit,
        lines: Line | None,
        partial: bytes,
        decoder: int,
        pointer: Pointer,
        watching: Watching,
    ) -> None:
        super().__init__(block)
        self.watching = watching
        self.lines = lines
        self.partial = partial
        self.decoder = decoder
        self.pointer = pointer

    @property
    def stuck(self) -> bool:
        return self.block.stuck

    @property
    def empty(self) -> bool:
        """Whether nothing of the replacement has been written."""
        return self.lines is None and not self.partial

    @abstractmethod
    def pointing(self, pointer: Pointer) -> Zone:
        """The same place with another pointer."""

    def followed(self, token: int, before: Zone) -> Zone:
        """The pointer moves on; at the beginning of the replacement, into which a token may have run on, it begins lost."""
        if isinstance(before, Writing):
            return self.pointing(self.block.trail.after(self.pointer, token))
        return self if self.empty else self.pointing(Pointer(None, 0, 1))

    def witness(self) -> tuple[int, Zone] | None:
        line = self.block.witness(self.lines)
        if line is None or line.count is None:
            return None
        return line.count, Closing(self.block.resumed(self.ledger.resumed()), joined(line), 0)


class Closing(InEdit):
    """In the terminator, of which ``passed`` bytes have been read; nothing but its rest may follow."""

    __slots__ = ("passed", "replacement")

    def __init__(self, block: OpenEdit, replacement: bytes, passed: int) -> None:
        super().__init__(block)
        self.replacement = replacement
        self.passed = passed

    @classmethod
    def at(cls, block: OpenEdit, replacement: bytes, passed: int) -> Zone:
        """With ``passed`` bytes read: all of them close the block."""
        if passed == len(block.ledger.plan.closing_line):
            return Closed(block.ledger.accept(block.target, block.quote, replacement), block.begin)
        return cls(block, replacement, passed)

    def feed(self, data: bytes, step: Step) -> Zone | None:
        if not self._rest.startswith(data):
            return None
        return Closing.at(self.block, self.replacement, self.passed + len(data))

    def mask(self) -> Int32Array:
        return self.ledger.plan.vocabulary.pack(self.ledger.plan.vocabulary.along(self._rest))

    def guess(self, limit: int) -> Draft:
        line = self.ledger.plan.closing_line
        tokens = self.ledger.plan.tokens_after(line[: self.passed], self._rest)[:limit]
        return Draft(tokens, len(tokens))

    @property
    def _rest(self) -> bytes:
        return self.ledger.plan.closing_line[self.passed :]
