"""Applying blocks: all or none, each guarantee checked anew; and what the constraint writes applies."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from byte_pairs import spelled, vocabulary
from driver import generate
from samples import FILES, check_output
from test_random_outputs import FAVOURITES

from dovetail.serve.edit.apply import apply_edits
from dovetail.serve.edit.block import Block, EditError, Edits
from dovetail.serve.edit.compile import compile_edit
from dovetail.serve.edit.formats.blocks.markers import choose_markers
from dovetail.serve.edit.formats.blocks.parse import parse_blocks
from dovetail.serve.types import EditSpec, SourceFile

FILE = SourceFile("a.py", "x = 1\ny = 2\n\n\ndef f():\n    return x")
OTHER = SourceFile("b.py", "x = 1\n")
EMPTY = SourceFile("e.py", "")


def _block(search: str, replace: str, path: str = "a.py") -> Block:
    return Block(path=path, search=search, replace=replace, start_line=0, end_line=0)


def applied(files: Sequence[SourceFile], blocks: Sequence[Block]) -> list[SourceFile]:
    pairs = apply_edits(files, Edits(tuple(blocks))).pairs
    return [after for _, after in pairs if after is not None]


def test_blocks_refer_to_the_files_as_given() -> None:
    blocks = [_block("y = 2\n", "x = 1\n"), _block("    return x", "    return 2"), _block("x = 1\n", "")]
    edited = applied([FILE, OTHER, EMPTY], [*blocks, _block("", "z = 1\n", "e.py")])
    assert [file.content for file in edited] == ["x = 1\n\n\ndef f():\n    return 2", "x = 1\n", "z = 1\n"]
    assert [file.path for file in edited] == ["a.py", "b.py", "e.py"]


@pytest.mark.parametrize(
    ("blocks", "reason", "index"),
    [
        ([_block("x = 1\n", "", "c.py")], "unknown_path", 0),
        ([_block("z = 1\n", "")], "not_found", 0),
        ([_block("", "")], "not_found", 0),
        ([_block("x", "y")], "ambiguous", 0),
        ([_block("y =", "z =")], "not_lines", 0),
        ([_block("x = 1", "x = 2")], "not_lines", 0),
        ([_block("y = 2\n", "y = 3")], "not_lines", 0),
        ([_block("x = 1\ny = 2\n", ""), _block("y = 2\n", "")], "overlapping", 1),
        ([_block("y = 2\n", ""), _block("y = 2\n", "")], "overlapping", 1),
        ([_block("", "", "e.py"), _block("", "", "e.py")], "overlapping", 1),
        ([_block("y = 2\n", "y = (\n")], "syntax", 0),
        ([_block("    return x", "")], "syntax", 0),
    ],
)
def test_refusals(blocks: list[Block], reason: str, index: int) -> None:
    with pytest.raises(EditError) as caught:
        applied([FILE, OTHER, EMPTY], blocks)
    assert caught.value.reason == reason
    assert caught.value.block == index
    assert caught.value.code == f"edit_{reason}"


def test_lines_that_end_the_file_count_as_they_are() -> None:
    file = SourceFile("a.txt", "abc\nx\nabc")
    assert applied([file], [_block("abc\n", "d\n", "a.txt")])[0].content == "d\nx\nabc"
    with pytest.raises(EditError) as caught:
        applied([file], [_block("abc", "d", "a.txt")])
    assert caught.value.reason == "ambiguous"


@pytest.mark.parametrize("seed", range(40))
def test_what_the_constraint_writes_applies(seed: int) -> None:
    chance = random.Random(seed)
    files = [FILES[path] for path in chance.sample(sorted(FILES), 3)]
    markers = choose_markers(files)
    state = compile_edit(EditSpec(files=tuple(files), markers=markers), vocabulary())
    output = spelled(generate(state, vocabulary(), 200, chance, 0.9, favourites=FAVOURITES).tokens)
    edited = applied(files, parse_blocks(output.decode(), files, markers))
    expected = dict(check_output(output, files, markers))
    for before, after in zip(files, edited, strict=True):
        assert after.content.encode() == expected.get(before.path, before.content.encode())
