"""The grammars' tables: every grammar is of a known kind, and a number outside of the tables is an error, not a crash."""

from __future__ import annotations

import ctypes

import pytest
from tree_sitter import Language

from dovetail.serve.constrain.syntax import tables
from dovetail.serve.constrain.syntax.languages import LANGUAGES, grammar
from dovetail.serve.constrain.syntax.tables import ACCEPT, REDUCE, SHIFT, TableError, Tables, language_address


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_tables_agree_with_what_tree_sitter_shows(language: str) -> None:
    found, shown = Tables(language), grammar(language)
    assert isinstance(shown, Language)
    assert found.language.abi_version == shown.abi_version
    assert found.language.state_count == shown.parse_state_count
    assert found.symbol_name(0) == b"end"
    for state in range(1, shown.parse_state_count, max(1, shown.parse_state_count // 50)):
        symbols = [symbol for symbol in range(found.token_count) if found.has_actions(state, symbol)]
        for symbol in symbols:
            for action in found.actions(state, symbol):
                assert action.kind in (SHIFT, REDUCE, ACCEPT)
        for symbol in range(found.token_count, found.language.symbol_count):
            assert found.goto(state, symbol) == shown.next_state(state, symbol)


def test_numbers_outside_of_the_tables() -> None:
    json = Tables("json")
    for call in (
        lambda: json.actions(1, json.token_count),
        lambda: json.actions(json.language.state_count, 0),
        lambda: json.mode(json.language.state_count),
        lambda: json.mode(-1),
        lambda: json.symbol_name(json.language.symbol_count),
    ):
        with pytest.raises(TableError, match="outside"):
            call()


def test_an_unknown_abi(monkeypatch: pytest.MonkeyPatch) -> None:
    future = ctypes.create_string_buffer(512)
    ctypes.c_uint32.from_buffer(future).value = 16
    make = ctypes.pythonapi.PyCapsule_New
    make.restype, make.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    made = make(ctypes.addressof(future), b"tree_sitter.Language", None)
    monkeypatch.setattr(tables, "capsule", lambda name: made)
    with pytest.raises(TableError, match="ABI version 16"):
        language_address("json")
