"""Real edits pass token by token, however they are cut into tokens; damaged ones do not pass their terminator."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from byte_pairs import LIBRARY, vocabulary
from samples import FILES, InvalidOutput, check_output, errors

from dovetail.serve.constrain.base import Constraint
from dovetail.serve.edit.compile import compile_edit
from dovetail.serve.edit.formats.blocks.markers import choose_markers
from dovetail.serve.types import EditSpec, Markers, SourceFile

LIBRARY_FILES = [LIBRARY / name for name in ("textwrap.py", "heapq.py", "shlex.py")]


def _changed(lines: list[str], chance: random.Random) -> list[str]:
    changed = list(lines)
    kind = chance.randrange(5)
    place = chance.randrange(len(lines))
    if kind == 0:
        changed = [line.replace("self", "this").replace("=", "= ") for line in lines]
    elif kind == 1:
        changed.insert(place, "# größer 🎈\n")
    elif kind == 2:
        del changed[place]
    elif kind == 3:
        changed[place] = changed[place].replace("0", "1").replace("n", "m")
    return changed


def true_block(file: SourceFile, markers: Markers, chance: random.Random) -> str | None:
    """A random valid edit of ``file`` as a block; None if the draw was not valid."""
    padded = file.content if file.content.endswith("\n") or not file.content else file.content + "\n"
    lines = [line + "\n" for line in padded.split("\n")[:-1]]
    if not lines:
        return None
    first = chance.randrange(len(lines))
    last = min(len(lines), first + 1 + chance.randrange(6))
    search = "".join(lines[first:last])
    while _count(file.content, search) != 1 and last < len(lines):
        last += 1
        search = "".join(lines[first:last])
    replace = "".join(_changed(lines[first:last], chance))
    block = f"{file.path}\n{markers.search}\n{search}{markers.divider}\n{replace}{markers.replace}\n"
    try:
        check_output(block.encode(), [file], markers)
    except InvalidOutput:
        return None
    return block if errors(file.path, file.content.encode()) == 0 or search == replace else None


def _count(content: str, search: str) -> int:
    if search not in content and content.endswith(search[:-1]):
        search = search[:-1]
    return sum(content.startswith(search, index) for index in range(len(content)))


def _random_tokens(block: bytes, chance: random.Random) -> list[int]:
    tokens, position = [], 0
    while position < len(block):
        tokens.append(chance.choice(vocabulary().along(block[position : position + 24])))
        position += len(vocabulary().spelling(tokens[-1]) or b"")
    return tokens


def _passed(state: Constraint, tokens: list[int]) -> tuple[int, Constraint]:
    """How many of the tokens are allowed, and the state behind them."""
    for index, token in enumerate(tokens):
        if not state.allows(token):
            return index, state
        state = state.advance(token)
    return len(tokens), state


def _files() -> list[SourceFile]:
    real = [SourceFile(path.name, Path(path).read_text()) for path in LIBRARY_FILES]
    return [*real, *FILES.values()]


@pytest.mark.parametrize("file", _files(), ids=lambda file: file.path)
def test_true_edits_are_accepted(file: SourceFile) -> None:
    chance = random.Random(file.path)
    markers = choose_markers([file])
    initial = (
        compile_edit(EditSpec(files=(FILES["a.json"], file), markers=markers), vocabulary())
        if (file.path != "a.json")
        else compile_edit(EditSpec(files=(file,), markers=markers), vocabulary())
    )
    for _ in range(14):
        block = true_block(file, markers, chance)
        if block is None:
            continue
        for tokens in (vocabulary().encode(block), _random_tokens(block.encode(), chance)):
            count, state = _passed(initial, tokens)
            refused = [vocabulary().spelling(token) for token in tokens[count : count + 1]]
            assert count == len(tokens), (block, refused)
            assert state.may_end()
            assert state.settled() == count
            assert state.retreat() is None


@pytest.mark.parametrize(
    "name", ["textwrap.py", "plain.py", "a.go", "open.py", "crlf.py", "rule.py", "names.py", "a.json"]
)
def test_damaged_edits_are_refused_or_still_valid(name: str) -> None:
    file = next(file for file in _files() if file.path == name)
    chance = random.Random(name)
    markers = choose_markers([file])
    initial = compile_edit(EditSpec(files=(file,), markers=markers), vocabulary())
    refused = 0
    for _ in range(60):
        block = (true_block(file, markers, chance) or "").encode()
        if not block:
            continue
        place = chance.randrange(len(block))
        damage = chance.choice([b"", b"(", b"\n", b"=", b"x", b"\xc3", b"\x00", b"  ", block[place : place + 1] * 2])
        damaged = block[:place] + damage + block[place + 1 :]
        tokens = _random_tokens(damaged, chance)
        count, state = _passed(initial, tokens)
        if count == len(tokens) and state.may_end():
            check_output(damaged, [file], markers)
        else:
            refused += 1
            assert b"\x00" in damaged or not _valid(damaged, file, markers)  # The checker passes null bytes.
    assert refused


def _valid(output: bytes, file: SourceFile, markers: Markers) -> bool:
    try:
        check_output(output, [file], markers)
    except (InvalidOutput, UnicodeDecodeError):
        return False
    return True


def test_two_blocks_and_the_lines_they_use_up() -> None:
    file = SourceFile("a.txt", "a\nb\nc\nd\n")
    initial = compile_edit(EditSpec(files=(file,)), vocabulary())
    first = "a.txt\n<<<<<<< SEARCH\nb\nc\n=======\nx\n>>>>>>> REPLACE\n"
    for second, allowed in (
        ("a.txt\n<<<<<<< SEARCH\na\n=======\n>>>>>>> REPLACE\n", True),
        ("a.txt\n<<<<<<< SEARCH\nd\n=======\ne\n>>>>>>> REPLACE\n", True),
        ("a.txt\n<<<<<<< SEARCH\nc\n=======\ne\n>>>>>>> REPLACE\n", False),
        ("a.txt\n<<<<<<< SEARCH\na\nb\n=======\ne\n>>>>>>> REPLACE\n", False),
        ("a.txt\n<<<<<<< SEARCH\nx\n=======\ne\n>>>>>>> REPLACE\n", False),
    ):
        tokens = vocabulary().encode(first) + vocabulary().encode(second)
        count, state = _passed(initial, tokens)
        assert (count == len(tokens) and state.may_end()) == allowed, second
        assert state.settled() == (len(tokens) if allowed else len(vocabulary().encode(first)))
