"""Renames that an output has begun, and the drafts that go on with them."""

from __future__ import annotations

import pytest
from byte_pairs import spelled, vocabulary

from dovetail.serve.constrain.base import Constraint
from dovetail.serve.edit.compile import compile_edit
from dovetail.serve.edit.formats.blocks.markers import choose_markers
from dovetail.serve.edit.zones.renames import learnt, learnt_from, renamed
from dovetail.serve.types import EditSpec, SourceFile


def test_a_line_in_which_only_names_change() -> None:
    assert learnt(b"x = old(1)\n", b"x = new(1)\n") == {b"old": b"new"}
    assert learnt(b"a = b\n", b"a = b\n") == {}
    assert learnt(b"x = 1\n", b"x = 2\n") == {}, "a number is no name"
    assert learnt(b"f(a)\n", b"f(a, b)\n") == {}
    assert learnt(b"a b c d e\n", b"v w x y z\n") == {}, "another line"


def test_the_changed_lines_of_an_edit() -> None:
    old = b"def total(xs):\n    return sum(xs)\n\nclass A:\n    pass\n"
    new = b"def amount(xs):\n    return sum(xs)\n\nclass B:\n    y = 1\n"
    assert learnt_from(old, new) == {b"total": b"amount", b"A": b"B"}
    assert learnt_from(old, new + b"#" * 20_000) == {}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"read_file()", b"load_text()"),
        (b"READ_FILE", b"LOAD_TEXT"),
        (b"new ReadFile", b"new LoadText"),
        (b"readFile.x", b"loadText.x"),
        (b"read_files, reread_file", b"read_files, reread_file"),
    ],
)
def test_names_in_other_styles(old: bytes, new: bytes) -> None:
    assert renamed(old, {b"read_file": b"load_text"}) == new


def _after(text: str, state: Constraint) -> Constraint:
    for token in vocabulary().encode(text):
        assert state.allows(token), (text, vocabulary().spelling(token))
        state = state.advance(token)
    return state


FILE = SourceFile("a.py", "def old(x):\n    y = old(x)\n    return old(y)\n\n\nprint(old(1))\n")
HEAD = "a.py\n<<<<<<< SEARCH\n"


def _initial() -> Constraint:
    return compile_edit(EditSpec(files=(FILE,), markers=choose_markers((FILE,))), vocabulary())


def test_the_next_line_is_drafted_renamed() -> None:
    quoted = FILE.content[: FILE.content.index("\n\n") + 1]
    state = _after(f"{HEAD}{quoted}=======\ndef new(x):\n", _initial())
    assert spelled(list(state.draft(60).tokens)).startswith(b"    y = new(x)\n    return new(y)\n>>>>>>> REPLACE\n")


def test_so_is_the_next_edit() -> None:
    state = _after(
        f"{HEAD}def old(x):\n=======\ndef new(x):\n>>>>>>> REPLACE\n{HEAD}print(old(1))\n=======\n", _initial()
    )
    assert spelled(list(state.draft(60).tokens)).startswith(b"print(new(1))\n")


def test_only_a_line_that_follows_the_old_one_teaches() -> None:
    quoted = FILE.content[: FILE.content.index("\n\n") + 1]
    state = _after(f"{HEAD}{quoted}=======\ndef old(x):\n    y = 1 + old(x)\n", _initial())
    assert spelled(list(state.draft(60).tokens)).startswith(b"    return old(y)\n")
