"""The tables of a compiled tree-sitter grammar (ABI 13 to 15), read through ctypes with every index checked.

tree-sitter's public interface shows neither the reductions nor the lexers; the layout of ``struct TSLanguage`` is published
in each grammar's ``tree_sitter/parser.h`` and fixed per ABI version. Knows no text and no parse.
"""

from __future__ import annotations

import ctypes
import struct
from typing import Any, NamedTuple

from dovetail.serve.constrain.syntax.languages import capsule

OLDEST_ABI, NEWEST_ABI = 13, 15
NO_LEX = 0xFFFF
"""The lex state that means: reduce by what the end of file would, whatever follows."""

SHIFT, REDUCE, ACCEPT, RECOVER = range(4)
_ENTRY = struct.Struct("=BBHBBxx")


class TableError(ValueError):
    """A grammar's tables are of another ABI, or hold an index that points outside of them."""


class LexerStruct(ctypes.Structure):
    """``struct TSLexer``: what a lexer is given to read from."""


_LEXER = ctypes.POINTER(LexerStruct)
Advance = ctypes.CFUNCTYPE(None, _LEXER, ctypes.c_bool)
MarkEnd = ctypes.CFUNCTYPE(None, _LEXER)
GetColumn = ctypes.CFUNCTYPE(ctypes.c_uint32, _LEXER)
Ask = ctypes.CFUNCTYPE(ctypes.c_bool, _LEXER)
Log = ctypes.CFUNCTYPE(None, _LEXER, ctypes.c_char_p)
LexerStruct._fields_ = [
    ("lookahead", ctypes.c_int32),
    ("result_symbol", ctypes.c_uint16),
    ("advance", Advance),
    ("mark_end", MarkEnd),
    ("get_column", GetColumn),
    ("is_at_included_range_start", Ask),
    ("eof", Ask),
    ("log", Log),
]
_Lex = ctypes.CFUNCTYPE(ctypes.c_bool, _LEXER, ctypes.c_uint16)


class _ScannerStruct(ctypes.Structure):
    _fields_ = (
        ("states", ctypes.POINTER(ctypes.c_bool)),
        ("symbol_map", ctypes.POINTER(ctypes.c_uint16)),
        ("create", ctypes.CFUNCTYPE(ctypes.c_void_p)),
        ("destroy", ctypes.CFUNCTYPE(None, ctypes.c_void_p)),
        ("scan", ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p, _LEXER, ctypes.c_void_p)),
        ("serialize", ctypes.CFUNCTYPE(ctypes.c_uint, ctypes.c_void_p, ctypes.c_char_p)),
        ("deserialize", ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint)),
    )


_COUNTS = (
    "abi_version",
    "symbol_count",
    "alias_count",
    "token_count",
    "external_token_count",
    "state_count",
    "large_state_count",
    "production_id_count",
    "field_count",
)
_UNUSED = (
    "field_names",
    "field_map_slices",
    "field_map_entries",
    "symbol_metadata",
    "public_symbol_map",
    "alias_map",
    "alias_sequences",
)


class _LanguageStruct(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_uint32) for name in _COUNTS),
        ("max_alias_sequence_length", ctypes.c_uint16),
        ("parse_table", ctypes.POINTER(ctypes.c_uint16)),
        ("small_parse_table", ctypes.POINTER(ctypes.c_uint16)),
        ("small_parse_table_map", ctypes.POINTER(ctypes.c_uint32)),
        ("parse_actions", ctypes.c_void_p),
        ("symbol_names", ctypes.POINTER(ctypes.c_char_p)),
        *((name, ctypes.c_void_p) for name in _UNUSED),
        ("lex_modes", ctypes.POINTER(ctypes.c_uint16)),
        ("lex_fn", _Lex),
        ("keyword_lex_fn", _Lex),
        ("keyword_capture_token", ctypes.c_uint16),
        ("scanner", _ScannerStruct),
        ("primary_state_ids", ctypes.c_void_p),
        ("name", ctypes.c_char_p),  # Not there before ABI 15, like all that follows.
        ("reserved_words", ctypes.POINTER(ctypes.c_uint16)),
        ("max_reserved_word_set_size", ctypes.c_uint16),
    )


class Action(NamedTuple):
    """What a state does with a symbol: SHIFT to ``state`` (``extra``: stay), REDUCE ``pops`` states to ``symbol``, ACCEPT."""

    kind: int
    state: int = 0
    extra: bool = False
    pops: int = 0
    symbol: int = 0


class Mode(NamedTuple):
    """How a state reads its next token: its entries into the lexer, the external scanner and the reserved words."""

    lex: int
    external: int
    reserved: int


def language_address(name: str) -> int:
    """Where the ``TSLanguage`` of a grammar is; it stays there as long as the process lives.

    Raises:
        TableError: its ABI version is not one whose layout is known here.
    """
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    address: int = pointer(capsule(name), b"tree_sitter.Language")
    version = ctypes.c_uint32.from_address(address).value
    if not OLDEST_ABI <= version <= NEWEST_ABI:
        raise TableError(f"the {name} grammar has ABI version {version}; known are {OLDEST_ABI} to {NEWEST_ABI}")
    return address


class Tables:
    """One grammar's tables. States and symbols are numbers, as in the grammar.

    Raises:
        TableError: the ABI is unknown, or (from any method) a number lies outside of the tables.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.language: Any = _LanguageStruct.from_address(language_address(name))
        language = self.language
        self.scanner: Any = language.scanner if language.external_token_count and language.scanner.states else None
        self.keyword_capture_token: int = language.keyword_capture_token
        self.token_count: int = language.token_count
        if not 0 < language.token_count <= language.symbol_count or language.large_state_count > language.state_count:
            raise TableError(f"the {name} grammar's counts contradict each other")
        self._rows: dict[int, dict[int, int]] = {}
        self._actions: dict[tuple[int, int], tuple[Action, ...]] = {}
        self._modes: dict[int, Mode] = {}

    def _within(self, number: int, limit: int) -> int:
        if not 0 <= number < limit:
            raise TableError(f"{number} lies outside of the {self.name} grammar's tables ({limit})")
        return number

    def _row(self, state: int) -> dict[int, int]:
        row = self._rows.get(state)
        if row is None:
            self._within(state, self.language.state_count)
            large = state < self.language.large_state_count
            row = self._rows[state] = self._large_row(state) if large else self._small_row(state)
        return row

    def _large_row(self, state: int) -> dict[int, int]:
        width = self.language.symbol_count
        values = self.language.parse_table[state * width : (state + 1) * width]
        return {symbol: value for symbol, value in enumerate(values) if value}

    def _small_row(self, state: int) -> dict[int, int]:
        data = self.language.small_parse_table
        at = self.language.small_parse_table_map[state - self.language.large_state_count]
        row: dict[int, int] = {}
        groups, at = self._within(data[at], self.language.symbol_count + 1), at + 1
        for _ in range(groups):
            value, count = data[at], self._within(data[at + 1], self.language.symbol_count + 1)
            at += 2
            for symbol in data[at : at + count]:
                row.setdefault(self._within(symbol, self.language.symbol_count), value)
            at += count
        return row

    def goto(self, state: int, symbol: int) -> int:
        """The state behind a non-terminal; 0 if there is none."""
        return self._within(self._row(state).get(symbol, 0), self.language.state_count)

    def has_actions(self, state: int, symbol: int) -> bool:
        """Whether ``symbol`` may come next in ``state``."""
        return symbol in self._row(state)

    def actions(self, state: int, symbol: int) -> tuple[Action, ...]:
        """What ``state`` does with the token ``symbol``; empty: nothing. Repetition markers are left out."""
        found = self._actions.get((state, symbol))
        if found is None:
            index = self._row(state).get(self._within(symbol, self.token_count), 0)
            found = self._actions[state, symbol] = tuple(self._read_actions(index)) if index else ()
        return found

    def _entries(self, index: int) -> list[tuple[int, int, int, int, int]]:
        """The actions at ``index``: kind, states to pop, state or symbol, whether extra, whether a repetition marker."""
        base = self.language.parse_actions + _ENTRY.size * index
        count = ctypes.string_at(base, 1)[0]
        return list(_ENTRY.iter_unpack(ctypes.string_at(base + _ENTRY.size, _ENTRY.size * count)))

    def _read_actions(self, index: int) -> list[Action]:
        actions = []
        for kind, count, number, extra, repetition in self._entries(index):
            if kind == SHIFT and not repetition:
                state = 0 if extra else self._within(number, self.language.state_count)
                actions.append(Action(SHIFT, state=state, extra=bool(extra)))
            elif kind == REDUCE:
                actions.append(Action(REDUCE, pops=count, symbol=self._within(number, self.language.symbol_count)))
            elif kind == ACCEPT:
                actions.append(Action(ACCEPT))
            else:
                self._within(kind, RECOVER + 1)
        return actions

    def mode(self, state: int) -> Mode:
        """How ``state`` reads its next token."""
        mode = self._modes.get(state)
        if mode is None:
            self._within(state, self.language.state_count)
            width = 3 if self.language.abi_version >= 15 else 2
            lex, external, *reserved = self.language.lex_modes[state * width : (state + 1) * width]
            mode = self._modes[state] = Mode(lex, external, reserved[0] if reserved else 0)
        return mode

    def is_reserved(self, state: int, symbol: int) -> bool:
        """Whether the keyword ``symbol`` can be no identifier in ``state``."""
        number = self.mode(state).reserved
        if not number:
            return False
        size = self.language.max_reserved_word_set_size
        words = self.language.reserved_words[number * size : (number + 1) * size]
        return symbol in (words[: words.index(0)] if 0 in words else words)

    def stays(self, state: int, symbol: int) -> bool:
        """Whether ``state`` takes the token ``symbol`` and remains as it is."""
        self._within(symbol, self.token_count)
        index = self._row(state).get(symbol, 0)
        if not index:
            return False
        kind, _, number, extra, _ = self._entries(index)[-1]
        return kind == SHIFT and (bool(extra) or number == state)

    def takes_from_others(self, state: int, symbol: int) -> bool:
        """Whether ``state`` takes the token ``symbol`` even if it was read in another state."""
        index = self._row(state).get(self._within(symbol, self.token_count), 0)
        if not index or self.mode(state).external:
            return False
        count, reusable = ctypes.string_at(self.language.parse_actions + _ENTRY.size * index, 2)
        return bool(count and reusable)

    def symbol_name(self, symbol: int) -> bytes:
        """What the grammar calls ``symbol``: for a literal, its text."""
        name: bytes = self.language.symbol_names[self._within(symbol, self.language.symbol_count)]
        return name
