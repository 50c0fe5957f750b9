"""Real edits, written in every format, pass token by token, however they are cut into tokens; damaged ones do not."""

from __future__ import annotations

import random

import pytest
from byte_pairs import vocabulary
from formats import NAMES, compiled, landed
from samples import FILES, InvalidOutput, check_output, errors
from test_true_edits import LIBRARY_FILES, _passed, _random_tokens, true_block

from dovetail.serve.edit.apply import apply_edits
from dovetail.serve.edit.block import EditError, Edits, Operation
from dovetail.serve.edit.formats.blocks.markers import choose_markers
from dovetail.serve.edit.formats.blocks.parse import parse_answer
from dovetail.serve.edit.formats.registry import FORMATS
from dovetail.serve.edit.formats.unified_diff.render import render_numberless
from dovetail.serve.types import EditFormat, Markers, SourceFile

SOURCES = [*(SourceFile(path.name, path.read_text()) for path in LIBRARY_FILES), *FILES.values()]
SOUND = [
    file
    for file in SOURCES
    if file.content and file.path != "equal.py" and errors(file.path, file.content.encode()) == 0
]


def written(name: EditFormat, files: list[SourceFile], edits: Edits, markers: Markers) -> str:
    """The edits as a model writes them."""
    if name == "unified_diff":
        return render_numberless(files, edits)
    return FORMATS[name].render(files, edits, markers)


def _true_edits(file: SourceFile, chance: random.Random, count: int) -> Edits | None:
    markers = choose_markers([file])
    blocks = [true_block(file, markers, chance) for _ in range(count)]
    text = "".join(block for block in blocks if block)
    try:
        check_output(text.encode(), [file], markers)
    except InvalidOutput:
        return None
    return parse_answer(text, [file], markers)


@pytest.mark.parametrize("file", SOUND, ids=lambda file: file.path)
@pytest.mark.parametrize("name", NAMES)
def test_true_edits_pass_and_come_back(name: EditFormat, file: SourceFile) -> None:
    chance = random.Random(file.path)
    state, markers = compiled(name, [file])
    tried = 0
    for _ in range(8):
        edits = _true_edits(file, chance, chance.choice([1, 1, 2]))
        if edits is None or not edits.blocks:
            continue
        after = apply_edits([file], edits).pairs[0][1]
        text = written(name, [file], edits, markers)
        unended = name == "apply_patch" and after and after.content and not after.content.endswith("\n")
        expected = after.content + "\n" if unended and after else after.content if after else ""
        if name == "whole_file" and not expected:
            continue
        assert landed(name, text.encode(), [file], markers).pairs[0][1].content == expected
        for tokens in (vocabulary().encode(text), _random_tokens(text.encode(), chance)):
            count, end = _passed(state, tokens)
            refused = [vocabulary().spelling(token) for token in tokens[count : count + 1]]
            if count < len(tokens) and name in ("apply_patch", "unified_diff") and b"\n" in (refused[0] or b"")[:-1]:
                break  # A hunk ends at a token's beginning.
            assert count == len(tokens), (text, refused)
            assert end.may_end()
            assert end.settled() == count
            tried += 1
    assert tried or len(file.content) < 40


@pytest.mark.parametrize("name", [name for name in NAMES if name != "blocks"])
@pytest.mark.parametrize("path", ["textwrap.py", "a.go", "open.py", "crlf.py", "names.py"])
def test_damaged_edits_are_refused_or_still_valid(name: EditFormat, path: str) -> None:
    file = next(file for file in SOURCES if file.path == path)
    chance = random.Random(path)
    state, markers = compiled(name, [file])
    refused = 0
    for _ in range(40):
        edits = _true_edits(file, chance, 1)
        if edits is None or not edits.blocks:
            continue
        text = written(name, [file], edits, markers).encode()
        if not text:
            continue  # A file that stays as it is.
        place = chance.randrange(len(text))
        damage = chance.choice(
            [b"", b"(", b"\n", b"=", b"x", b"\xc3", b"\x00", b"  ", b'"', text[place : place + 1] * 2]
        )
        damaged = text[:place] + damage + text[place + 1 :]
        tokens = _random_tokens(damaged, chance)
        count, end = _passed(state, tokens)
        if count == len(tokens) and end.may_end():
            landed(name, damaged, [file], markers)
        else:
            refused += 1
    assert refused > (0 if name == "whole_file" else 10)


FILES_GIVEN = [SourceFile("a.py", "x = 1\n"), SourceFile("b.txt", "b\nc\n"), SourceFile("d/e.txt", "e\n")]
WHOLE = (
    Operation(kind="create", path="new/f.py", content="y = 2\n"),
    Operation(kind="delete", path="b.txt"),
    Operation(kind="rename", path="d/e.txt", to="d/g.txt"),
)


@pytest.mark.parametrize("name", NAMES)
def test_whole_files_come_and_go(name: EditFormat) -> None:
    allowed = FORMATS[name].operations
    edits = Edits((), tuple(each for each in WHOLE if each.kind in allowed))
    state, markers = compiled(name, FILES_GIVEN, operations=allowed)
    text = written(name, FILES_GIVEN, edits, markers)
    bytewise = [vocabulary().prefixes[bytes([byte])][0] for byte in text.encode()]
    _, end = _passed(state, bytewise)
    assert end.may_end(), text
    after = landed(name, text.encode(), FILES_GIVEN, markers)
    assert after.pairs == apply_edits(FILES_GIVEN, edits).pairs
    closed, _ = compiled(name, FILES_GIVEN)
    tokens = vocabulary().encode(text)
    assert _passed(closed, tokens)[0] < len(tokens)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "path",
    [
        *("a.py", "/x.py", "../x.py", "a/../x.py", "a.py/x.py", "d", "x//y.py", ".", "A.PY", "./q.py"),
        *("C:/x.py", "a\\b.py", ".git/config", "x/.GIT/y.py", "a\tb.py", "D/E.TXT/f.py"),
    ],
)
def test_new_paths_that_are_refused(name: EditFormat, path: str) -> None:
    if (name, path) == ("whole_file", "a.py"):
        return  # That is an edit of it.
    state, markers = compiled(name, FILES_GIVEN, operations=("create",))
    edits = Edits((), (Operation(kind="create", path=path, content="y = 2\n"),))
    fine = Edits((), (Operation(kind="create", path="fine.py", content="y = 2\n"),))
    text = written(name, FILES_GIVEN, fine, markers).replace("fine.py", path)
    tokens = _random_tokens(text.encode(), random.Random(2))
    assert _passed(state, tokens)[0] < len(tokens)
    with pytest.raises(EditError):
        apply_edits(FILES_GIVEN, edits)
