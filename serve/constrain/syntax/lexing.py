"""Reads one token with a grammar's compiled lexers: the callbacks they ask for text, their order, keywords.

Follows ``ts_parser__lex`` of tree-sitter: the external scanner first, then the lexer of the state, then the scanner as in the
error state; a word is looked up among the keywords last. Does not know what the parse does with a token. The C version is
recogniser.c; any change here is a change there.
"""

from __future__ import annotations

import ctypes
from contextlib import suppress
from typing import Any, NamedTuple

from dovetail.serve.constrain.syntax.parsing import LATIN_1_ONLY
from dovetail.serve.constrain.syntax.snapshot import Snapshot, UnclearError, Version
from dovetail.serve.constrain.syntax.tables import (
    Advance,
    Ask,
    GetColumn,
    LexerStruct,
    Log,
    MarkEnd,
    Mode,
    Tables,
)

_SCANNER_BYTES, _SCANNER_ROOM = 1024, 8192
_LONGEST_LITERAL = 16
_MARK = b"\xef\xbb\xbf"

PROBES = tuple(
    chr(c).encode() for c in (*range(128), 0xA0, 0xAA, 0xE9, 0xB7, 0x301, 0x660, 0x200D, 0x2028, 0x2192)
) + tuple(chr(c).encode() for c in (0x2260, 0x2200, 0x3000, 0x4E2D, 0xFEFF, 0xFF08, 0x1F600, 0x1D538))
"""Characters that stand for all that may follow a literal: ASCII, and others of every kind that lexers tell apart."""


class Token(NamedTuple):
    """A token's symbol, its end, the scanner's bytes behind it. ``keyword``: it may still have to pass as a plain word."""

    symbol: int
    end: int
    scanner: bytes
    keyword: bool = False


class Undecided(NamedTuple):
    """The lexer looked at the end of the text: more text may change its mind."""


UNDECIDED = Undecided()


class TextLexer:
    """Reads tokens of one text at a time. Not for two threads at once."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._highest = 0xFF if tables.name in LATIN_1_ONLY else 0x10FFFF
        self._text, self._at_start, self._column, self._whole = b"", False, 0, False
        self._position = self._start = self._end = self._width = 0
        self._marked = self._saw_end = False
        self._fixed: dict[tuple[int, int], bool] = {}
        self._room = ctypes.create_string_buffer(_SCANNER_ROOM)
        self._struct: Any = LexerStruct()
        self._struct.advance = Advance(self._on_advance)
        self._struct.mark_end = MarkEnd(self._on_mark_end)
        self._struct.get_column = GetColumn(self._on_column)
        self._struct.is_at_included_range_start = Ask(
            lambda _: self._at_start and self._position == 0 < len(self._text)
        )
        self._struct.eof = Ask(self._on_eof)
        self._struct.log = Log(lambda _, __: None)
        self._pointer = ctypes.pointer(self._struct)

    def read(self, snapshot: Snapshot, text: bytes, whole: bool) -> None:
        """Take ``text``, which begins with the tail of ``snapshot``, as what tokens are read from from now on.

        ``whole``: the text ends there; otherwise more may follow.
        """
        self._text, self._at_start, self._column, self._whole = text, snapshot.at_start, snapshot.column, whole

    def column(self, position: int) -> int:
        """Characters between the last line feed and ``position``."""
        at, column = (3 if position >= 3 and self._has_mark() else 0), self._column
        line = self._text.rfind(b"\n", at, position) + 1
        if line:
            at, column = line, 0
        while at < position:
            at, column = at + self._decode(at)[1], column + 1
        return column

    def token(self, version: Version, mode: Mode) -> Token | Undecided | None:
        """The token at the end of ``version``; None: what stands there is none.

        Where the state's own mode finds none, tree-sitter tries that of the error state. Only the scanner can find there
        what is of use here: a token that this state takes would be known to the lexer of its own mode.
        """
        self._saw_end = False
        token = self._scanned(version, mode, recovering=False) if mode.external else None
        if token is None and not self._cut:
            token = self._lexed(version, mode)
        recovery = self._tables.mode(0)
        if token is None and recovery.external and not self._cut:
            token = self._scanned(version, recovery, recovering=True)
        return UNDECIDED if self._cut else token

    @property
    def _cut(self) -> bool:
        """Whether more text might change what has just been read."""
        return self._saw_end and not self._whole

    def _scanned(self, version: Version, mode: Mode, recovering: bool) -> Token | None:
        tables, scanner = self._tables, self._tables.scanner
        before = version.scanner
        self._go(version.position)
        valid = ctypes.addressof(scanner.states.contents) + mode.external * tables.language.external_token_count
        size = self._ask_scanner(before, valid)
        if size is None:
            return None
        result = self._struct.result_symbol
        end = self._ended()
        if size > _SCANNER_BYTES or result >= tables.language.external_token_count or end < version.position:
            raise UnclearError
        symbol, after = scanner.symbol_map[result], ctypes.string_at(self._room, size)
        if symbol >= tables.token_count:
            raise UnclearError
        idle = end <= version.position and after == before
        if idle and (recovering or tables.stays(version.stack.state, symbol)):
            return None
        return Token(symbol, end, after)

    def _ask_scanner(self, before: bytes, valid: int) -> int | None:
        """Leaves the scanner's new bytes in ``_room`` and returns how many; None: it found no token.

        It is made anew for each question: some scanners keep more than they serialise (bash its heredocs), and what one
        text left behind must not reach the next.
        """
        scanner = self._tables.scanner
        payload = scanner.create() if scanner.create else None
        scanner.deserialize(payload, before or None, len(before))
        found = scanner.scan(payload, self._pointer, valid)
        size: int | None = scanner.serialize(payload, self._room) if found else None
        if payload is not None and scanner.destroy:
            scanner.destroy(payload)
        return size

    def _lexed(self, version: Version, mode: Mode) -> Token | None:
        tables = self._tables
        self._go(version.position)
        if not tables.language.lex_fn(self._pointer, mode.lex):
            return None
        symbol, start, end = self._struct.result_symbol, self._start, self._ended()
        if symbol >= tables.token_count or end < version.position:
            raise UnclearError
        if self._cut and self._is_fixed(symbol, start, end, mode.lex):
            self._saw_end = False
        word = symbol and symbol == tables.keyword_capture_token and not self._cut
        keyword = self._keyword(version.stack.state, min(start, end), end) if word else None
        return Token(symbol if keyword is None else keyword, end, version.scanner, keyword is not None)

    def _keyword(self, state: int, start: int, end: int) -> int | None:
        """The keyword that a word is where ``state`` knows it or reserves it."""
        tables, saw_end = self._tables, self._saw_end
        self._go(start)
        found = tables.language.keyword_lex_fn(self._pointer, 0) and self._ended() == end
        self._saw_end = saw_end
        symbol: int = self._struct.result_symbol
        if not found or symbol >= tables.token_count or symbol == tables.keyword_capture_token:
            return None
        return symbol if tables.has_actions(state, symbol) or tables.is_reserved(state, symbol) else None

    def _is_fixed(self, symbol: int, start: int, end: int, lex_state: int) -> bool:
        """Whether the token just read, which ends where the text does, is a literal that no character can prolong."""
        if not (start < end == self._position == len(self._text)) or not symbol or end - start > _LONGEST_LITERAL:
            return False
        literal = self._tables.symbol_name(symbol)
        if literal != self._text[start:end]:
            return False
        known = self._fixed.get((lex_state, symbol))
        if known is None:
            kept = self._text, self._at_start, self._position, self._start, self._end, self._marked, self._saw_end
            known = not any(self.grows(literal, probe, symbol, lex_state) for probe in PROBES)
            self._fixed[lex_state, symbol] = known
            self._text, self._at_start, self._position, self._start, self._end, self._marked, self._saw_end = kept
        return known

    def grows(self, literal: bytes, probe: bytes, symbol: int, lex_state: int) -> bool:
        """Whether ``probe`` behind ``literal`` makes the lexer read on; forgets the text it was reading."""
        self._text, self._at_start = literal + probe, False
        self._go(0)
        found = self._tables.language.lex_fn(self._pointer, lex_state)
        stopped = self._ended() == self._position == len(literal)
        return not (found and stopped and self._struct.result_symbol == symbol)

    # What the compiled lexers call.

    def _go(self, position: int) -> None:
        self._position = self._start = self._end = position
        self._marked = False
        self._struct.result_symbol = 0
        self._look()
        if position == 0 and self._has_mark():
            self._on_advance(None, True)

    def _has_mark(self) -> bool:
        return self._at_start and self._text.startswith(_MARK)

    def _ended(self) -> int:
        return self._end if self._marked else self._position

    def _decode(self, position: int) -> tuple[int, int, bool]:
        """The character there (-1: none), its bytes, whether the text ends within it."""
        lead = self._text[position]
        if lead < 0x80:
            return lead, 1, False
        if lead < 0xC2 or lead > 0xF4:
            return -1, 1, False
        width = 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
        piece = self._text[position : position + width]
        with suppress(UnicodeDecodeError):
            return min(ord(piece.decode()), self._highest), width, False
        return -1, 1, len(piece) < width and _begins_character(piece)

    def _look(self) -> None:
        if self._position >= len(self._text):
            self._saw_end = True
            self._struct.lookahead, self._width = 0, 1
            return
        self._struct.lookahead, self._width, cut = self._decode(self._position)
        self._saw_end = self._saw_end or cut

    def _on_advance(self, _: object, skip: bool) -> None:
        if self._position >= len(self._text):
            self._saw_end = True
            return
        self._position += self._width
        if skip:
            self._start = self._position
        self._look()

    def _on_mark_end(self, _: object) -> None:
        self._end, self._marked = self._position, True

    def _on_eof(self, _: object) -> bool:
        if self._position < len(self._text):
            return False
        self._saw_end = True
        return True

    def _on_column(self, _: object) -> int:
        return self.column(self._position)


def _begins_character(piece: bytes) -> bool:
    """Whether more bytes could make ``piece`` one character."""
    low, high = {0xE0: (0xA0, 0xBF), 0xED: (0x80, 0x9F), 0xF0: (0x90, 0xBF), 0xF4: (0x80, 0x8F)}.get(
        piece[0], (0x80, 0xBF)
    )
    return all(
        (low if place == 0 else 0x80) <= byte <= (high if place == 0 else 0xBF) for place, byte in enumerate(piece[1:])
    )
