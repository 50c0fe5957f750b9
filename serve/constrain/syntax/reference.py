"""The inner loop of the recogniser in Python: GLR without error recovery over a grammar's own tables.

The reference that recogniser.c is compared with, and the fallback where that is not built. Follows ``ts_parser__advance`` of
tree-sitter wherever no version has an error. Knows snapshots, not files.
"""

from __future__ import annotations

import threading

from dovetail.serve.constrain.syntax.lexing import TextLexer, Token, Undecided
from dovetail.serve.constrain.syntax.snapshot import Cell, Cells, Snapshot, UnclearError, Version, decoded, encoded
from dovetail.serve.constrain.syntax.tables import ACCEPT, NO_LEX, REDUCE, SHIFT, Action, Tables

_VERSIONS = 64
_STEPS_AT_LEAST, _STEPS_PER_BYTE = 20_000, 400


class Reference:
    """Snapshots on from snapshots, for one grammar."""

    def __init__(self, name: str) -> None:
        self._tables = Tables(name)
        self._lexer = TextLexer(self._tables)
        self._lock = threading.Lock()

    def feed(self, content: bytes, data: bytes) -> bytes | None:
        """The snapshot behind ``data``; None: no text that goes on like this is in the language.

        Raises:
            UnclearError: a limit was hit.
        """
        cells = Cells()
        snapshot = decoded(content, cells)
        text = snapshot.tail + data
        with self._lock:
            self._lexer.read(snapshot, text, whole=False)
            reading = Reading(self._tables, self._lexer, cells, len(text), whole=False)
            done = reading.run(snapshot.versions, _STEPS_AT_LEAST + _STEPS_PER_BYTE * len(data))
            if not done:
                return None
            base = min(version.position for version in done)
            column = self._lexer.column(base)
        versions = tuple(version._replace(position=version.position - base) for version in done)
        return encoded(Snapshot(versions, text[base:], column, snapshot.at_start and base == 0))

    def accepts(self, content: bytes) -> bool:
        """Whether a file may end there.

        Raises:
            UnclearError: a limit was hit.
        """
        cells = Cells()
        snapshot = decoded(content, cells)
        with self._lock:
            self._lexer.read(snapshot, snapshot.tail, whole=True)
            reading = Reading(self._tables, self._lexer, cells, len(snapshot.tail), whole=True)
            reading.run(snapshot.versions, _STEPS_AT_LEAST)
        return reading.accepted


class Versions:
    """Versions still to come, or done: those that agree on all but what is below the top are one."""

    def __init__(self, cells: Cells) -> None:
        self._cells = cells
        self._found: dict[tuple[int, int, bytes], Version] = {}

    def add(self, version: Version) -> None:
        """One more; its stacks join those of a version like it."""
        key = version.stack.state, version.position, version.scanner
        twin = self._found.get(key)
        if twin is None and len(self._found) == _VERSIONS:
            raise UnclearError
        joined = self._cells.united(twin.stack, version.stack) if twin else version.stack
        self._found[key] = version._replace(stack=joined)

    def take_first(self) -> Version | None:
        """Removes and returns the one that has read the least."""
        key = min(self._found, key=lambda found: found[1], default=None)
        return None if key is None else self._found.pop(key)

    def all(self) -> list[Version]:
        """What is there."""
        return list(self._found.values())


class Reading:
    """One run over a text, until every version has come to a token that more text might change."""

    def __init__(self, tables: Tables, lexer: TextLexer, cells: Cells, size: int, whole: bool) -> None:
        self._tables = tables
        self._lexer = lexer
        self._cells = cells
        self._size = size
        self._whole = whole
        self._waiting = Versions(cells)
        self._done = Versions(cells)
        self._reads: list[tuple[Version, Token | None]] = []
        self._steps = 0
        self.accepted = False

    def run(self, versions: tuple[Version, ...], steps: int) -> list[Version]:
        """The versions at the end of the text."""
        self._steps = steps
        for begun in versions:
            self._waiting.add(begun)
        seen: set[Version] = set()
        place = 0
        while not self.accepted and (version := self._waiting.take_first()):
            if version.position != place:
                place, seen, self._reads = version.position, set(), []
            if version in seen:
                continue
            if len(seen) == _VERSIONS:
                raise UnclearError
            seen.add(version)
            self._count_step()
            self._read_token(version)
        return self._done.all()

    def _count_step(self) -> None:
        self._steps -= 1
        if self._steps < 0:
            raise UnclearError

    def _read_token(self, version: Version) -> None:
        mode = self._tables.mode(version.stack.state)
        if mode.lex == NO_LEX:
            self._finish_extra(version)
            return
        if version.position == self._size and not self._whole:
            self._done.add(version)
            return
        token = self._lexer.token(version, mode)
        if isinstance(token, Undecided):
            self._done.add(version)
            return
        if token is not None:
            self._consume(version, token)
        self._share(version, token)

    def _share(self, version: Version, token: Token | None) -> None:
        """tree-sitter keeps the last token, and gives it to another version at the same place whose table says that it may.

        A word that is a keyword to the one passes as a name with the other. So every version is offered what the others
        have read there.
        """
        for other, read in self._reads:
            same = token is not None and read is not None and token.symbol == read.symbol
            if same or version.scanner != other.scanner:
                continue
            if read is not None and self._takes(version, read):
                self._consume(version, read)
            if token is not None and self._takes(other, token):
                self._consume(other, token)
        self._reads.append((version, token))

    def _takes(self, version: Version, token: Token) -> bool:
        if token.end <= version.position:
            return False
        return self._tables.takes_from_others(version.stack.state, token.symbol)

    def _finish_extra(self, version: Version) -> None:
        for action in self._tables.actions(version.stack.state, 0):
            if action.kind == REDUCE:
                self._read_anew(version, self._reduced(version.stack, action, extra=True))

    def _reduced(self, stack: Cell, action: Action, extra: bool = False) -> list[Cell]:
        """The stacks behind a reduction; an extra that ends where it began leaves no trace."""
        at = [stack]
        for _ in range(action.pops):
            if not all(cell.below for cell in at):
                raise UnclearError
            at = self._cells.gathered(below for cell in at for below in cell.below)
        made = []
        for cell in at:
            state = self._tables.goto(cell.state, action.symbol)
            if state:
                made.append(cell if extra and state == cell.state else self._cells.cell(state, (cell,)))
        return self._cells.gathered(made)

    def _read_anew(self, version: Version, stacks: list[Cell]) -> None:
        for stack in stacks:
            self._waiting.add(version._replace(stack=stack))

    def _consume(self, version: Version, token: Token) -> None:
        """All that ``token`` does to a version, reductions before it included."""
        tables = self._tables
        pending = [(version.stack, False)]
        while pending:
            self._count_step()
            stack, as_word = pending.pop()
            # A keyword that has no place here passes as a plain word, unless it is reserved.
            if token.keyword and not tables.actions(stack.state, token.symbol):
                as_word = as_word or not tables.is_reserved(stack.state, token.symbol)
            symbol = tables.keyword_capture_token if as_word else token.symbol
            following = [(cell, as_word) for cell in self._apply(version, token, stack, symbol)]
            pending = self._gathered(pending + following)

    def _gathered(self, pending: list[tuple[Cell, bool]]) -> list[tuple[Cell, bool]]:
        words = [cell for cell, as_word in pending if as_word]
        others = [cell for cell, as_word in pending if not as_word]
        gathered = self._cells.gathered
        return [(cell, True) for cell in gathered(words)] + [(cell, False) for cell in gathered(others)]

    def _apply(self, version: Version, token: Token, stack: Cell, symbol: int) -> list[Cell]:
        """What ``symbol`` does to one stack; returns what goes on with it.

        Of several reductions that is the last; the others read the token anew, as they do in tree-sitter, since their state
        may have another lexer.
        """
        carrying: list[Cell] = []
        for action in self._tables.actions(stack.state, symbol):
            if action.kind == REDUCE:
                made = self._reduced(stack, action)
                if made:
                    self._read_anew(version, carrying)
                    carrying = made
                continue
            self._read_anew(version, carrying)
            if action.kind == SHIFT:
                shifted = stack if action.extra else self._cells.cell(action.state, (stack,))
                self._waiting.add(Version(shifted, token.end, token.scanner))
            elif action.kind == ACCEPT and self._whole:
                self.accepted = True
            else:
                # Before the end of the text: a scanner took a null byte for it, and so does tree-sitter, whatever follows.
                self._done.add(version)
            return []
        return carrying
