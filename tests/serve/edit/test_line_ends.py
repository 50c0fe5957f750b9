"""Whatever line ends a file has: the model reads line feeds, untouched lines keep their bytes, new ones get the file's ends."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

import pytest
from byte_pairs import spelled, vocabulary
from driver import generate
from formats import NAMES, favourites, git_applied
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from samples import SOURCES, compiles, errors
from test_stream import Replay
from test_true_formats import written

from dovetail.serve.api.edits.report import land
from dovetail.serve.constrain.base import Constraint
from dovetail.serve.edit.apply import apply_edits
from dovetail.serve.edit.block import BYTE_ORDER_MARK, Block, Edits, block_at
from dovetail.serve.edit.compile import compile_edit
from dovetail.serve.edit.formats.blocks.markers import choose_markers
from dovetail.serve.edit.formats.blocks.restored import RestoredStream
from dovetail.serve.edit.formats.registry import FORMATS
from dovetail.serve.edit.view import View, as_read, restored, views_for, with_line_feeds
from dovetail.serve.types import EditFormat, EditSpec, SourceFile

MARK = BYTE_ORDER_MARK
ENDS = st.sampled_from(["\n", "\r\n", "\r\n", "\r\r\n"])
WORDS = st.sampled_from(["a", "b", "", "c d", "x\ry", "\te", "é", "=", "a a"])
CONTENTS = st.builds(
    lambda mark, lines, last: mark + "".join(word + end for word, end in lines) + last,
    st.sampled_from(["", "", MARK, MARK + MARK]),
    st.lists(st.tuples(WORDS, ENDS), max_size=9),
    st.sampled_from(["", "", "z", "z\r"]),
)
NEW = st.lists(st.sampled_from(["a", "n", "", "\tm", "b"]), max_size=4)


def _lines(content: str) -> list[str]:
    pieces = content.lstrip(MARK).split("\n")
    return [piece + "\n" for piece in pieces[:-1]] + ([pieces[-1]] if pieces[-1] else [])


def _ends(content: str) -> set[str]:
    return {line[len(line.rstrip("\r\n")) :] for line in _lines(content) if line.endswith("\n")}


def _spec(name: EditFormat, *files: SourceFile) -> EditSpec:
    return EditSpec(files=files, markers=choose_markers(as_read(files)), format=name, line_ends="own")


def test_a_quote_that_ends_in_a_carriage_return_is_unique_in_the_file_as_it_is() -> None:
    """Lines that end in line feeds hold `}` and `}\r` once each; the file as it is holds `}\r` twice."""
    file = SourceFile("Box.cs", "    }\r\n}\r")
    spec = _spec("blocks", file)
    markers = spec.markers
    text = f"Box.cs\n{markers.search}\n}}\r\n{markers.divider}\n"
    state: Constraint = compile_edit(spec, vocabulary())
    for token in vocabulary().encode(text):
        if not state.allows(token):
            return
        state = state.advance(token)
    raise AssertionError("the quote was taken")


@settings(deadline=None)
@given(CONTENTS)
def test_what_was_read_comes_back(content: str) -> None:
    view = View(SourceFile("a", content))
    text = view.file.content
    assert "\r\n" not in text or content.endswith("\r")
    assert not text.startswith(MARK)
    count = len(_lines(text))
    assert count == len(_lines(content))
    assert view.lines(0, count) == content.lstrip(MARK) == view.restored(0, count, text)
    assert View(SourceFile("a", content), "verbatim").file.content == content


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(CONTENTS, NEW, st.data(), st.sampled_from(NAMES))
def test_untouched_lines_keep_their_bytes(content: str, new: list[str], data: st.DataObject, name: EditFormat) -> None:
    file = SourceFile("a.txt", content)
    [view] = as_read([file])
    lines = _lines(view.content)
    first = data.draw(st.integers(0, len(lines)))
    last = data.draw(st.integers(first, len(lines)))
    start, end = len("".join(lines[:first])), len("".join(lines[:last]))
    unended = bool(lines) and not lines[-1].endswith("\n")
    text = "".join(line + "\n" for line in new)
    if last == len(lines) and unended:
        text = "\n" + text.removesuffix("\n") if first == last else text.removesuffix("\n")
        assume(not text.endswith("\n"))  # Where a file has no final line feed, none is added.
    edits = Edits((block_at("a.txt", view.content, start, end, text),))
    spec = _spec(name, file)
    wanted = view.content[:start] + text + view.content[end:]
    if wanted == view.content or (name == "whole_file" and not wanted):
        return
    landed = land(written(name, [view], edits, spec.markers), spec)
    after = landed.changed[0].content if landed.changed else content
    if name == "apply_patch" and wanted and not wanted.endswith("\n"):
        wanted += "\n"
    assume(name != "whole_file" or not unended or not wanted.endswith("\n"))
    assert re.sub("\r+\n", "\n", after.lstrip(MARK)) == re.sub("\r+\n", "\n", wanted)
    assert after.startswith(MARK) == content.startswith(MARK)
    kept, result = _lines(content), _lines(after)
    assert result[:first] == kept[: min(first, len(kept) - unended)] + result[min(first, len(kept) - unended) : first]
    behind = len(kept) - last
    read, made = _lines(view.content), _lines(wanted)
    head = next((k for k, (a, b) in enumerate(zip(read, made, strict=False)) if a != b), min(len(read), len(made)))
    if behind and not unended and head + behind <= min(len(read), len(made)):  # No line could be one or the other.
        assert result[len(result) - behind :] == kept[last:]
    assert _rebuilt(content, landed.edits.blocks) == after
    assert content.endswith("\r") or _ends(after) <= (_ends(content) or {"\n"})
    assert git_applied([file], landed.patch) == {"a.txt": after} if landed.patch else after == content
    assert _again(name, landed.text, file) == after
    for block in landed.edits.blocks:
        assert block.search in content


def _rebuilt(content: str, blocks: Sequence[Block]) -> str:
    """The file from its lines and what the blocks say of them."""
    lines, pieces, at = _lines(content), [content[: len(content) - len(content.lstrip(MARK))]], 0
    for block in sorted(blocks, key=lambda block: (block.start_line, block.end_line)):
        pieces += [*lines[at : block.start_line - 1], block.replace]
        at = block.end_line
    return "".join([*pieces, *lines[at:]])


def _again(name: EditFormat, text: str, file: SourceFile) -> str:
    """What a text made elsewhere makes of the file."""
    return _all_again(name, text, [file])[0].content


def _all_again(name: EditFormat, text: str, files: Sequence[SourceFile]) -> list[SourceFile]:
    """What a text made elsewhere makes of the files."""
    form = FORMATS[name]
    views = views_for(text, files, verbatim=form.verbatim(text))
    read = [view.file for view in views.values()]
    markers = choose_markers(as_read(files))
    edits = restored(form.read_foreign(with_line_feeds(text), read, markers), views)
    return [after for _, after in apply_edits(files, edits, syntax="off").pairs if after is not None]


@settings(max_examples=300, deadline=None)
@given(st.lists(CONTENTS, min_size=1, max_size=3), st.data())
def test_the_text_of_whole_files_makes_the_same_files_again(contents: list[str], data: st.DataObject) -> None:
    """Some of the given files written anew, from their own lines and others: blank ones, and such as end in a return."""
    files = [SourceFile(f"{number}.txt", content) for number, content in enumerate(contents)]
    pieces = []
    for view in as_read(files):
        held = [line.removesuffix("\n") for line in _lines(view.content)]
        returns = ["a\r", "b\r\r", "\r"] if "\r" in view.content else []
        lines = data.draw(st.lists(st.sampled_from([*held, "n", "", *returns]), max_size=6) | st.none())
        if lines is not None and (lines or not view.content):
            pieces.append(f"{view.path}\n```\n" + "".join(line + "\n" for line in lines) + "```\n")
    landed = land("".join(pieces), _spec("whole_file", *files))
    changed = {file.path: file for file in landed.changed}
    assert _all_again("whole_file", landed.text, files) == [changed.get(file.path, file) for file in files]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("whole_file", "a.txt\n```\none\ntwo\n\n```\n"),
        ("blocks", "a.txt\n<<<<<<< SEARCH\ntwo\n=======\ntwo\n\n>>>>>>> REPLACE\n"),
    ],
)
def test_a_last_line_without_an_end_gets_one_where_a_blank_line_is_put_behind_it(name: EditFormat, text: str) -> None:
    file = SourceFile("a.txt", "one\r\ntwo")
    landed = land(text, _spec(name, file))
    assert landed.changed[0].content == "one\r\ntwo\r\n" == _again(name, landed.text, file)


@pytest.mark.parametrize("name", NAMES)
def test_windows_line_ends(name: EditFormat) -> None:
    file = SourceFile("a.py", MARK + "import os\r\n\r\n\r\ndef f(a):\r\n    return a\r\n")
    [view] = as_read([file])
    place = view.content.index("    return")
    edits = Edits((block_at("a.py", view.content, place, len(view.content), "    b = a\n    return b\n"),))
    spec = _spec(name, file)
    text = written(name, [view], edits, spec.markers)
    assert "\r" not in text
    landed = land(text, spec)
    expected = file.content.replace("    return a\r\n", "    b = a\r\n    return b\r\n")
    assert landed.changed[0].content == expected
    assert _again(name, landed.text, file) == expected
    for sent in (text, text.replace("\n", "\r\n")):
        assert _again(name, sent, file) == expected
    for block in landed.edits.blocks:
        assert file.content.count(block.search) == 1
        assert file.content.replace(block.search, block.replace) == expected or name == "unified_diff"


def test_a_line_of_a_mixed_file_keeps_its_end_inside_a_block_too() -> None:
    file = SourceFile("a.txt", "a\r\nb\nc\r\n")
    spec = _spec("blocks", file)
    text = "a.txt\n<<<<<<< SEARCH\na\nb\nc\n=======\nnew\na\nafter a\nb\nafter b\nc\n>>>>>>> REPLACE\n"
    assert land(text, spec).changed[0].content == "new\r\na\r\nafter a\r\nb\nafter b\nc\r\n"


@settings(max_examples=100, deadline=None)
@given(CONTENTS, NEW, st.integers(1, 9), st.data())
def test_deltas_add_up(content: str, new: list[str], size: int, data: st.DataObject) -> None:
    file = SourceFile("a.txt", content)
    [view] = as_read([file])
    lines = _lines(view.content)
    first = data.draw(st.integers(0, max(0, len(lines) - 1)))
    start = len("".join(lines[:first]))
    block = block_at("a.txt", view.content, start, len(view.content), "".join(line + "\n" for line in new))
    spec = _spec("blocks", file)
    text = FORMATS["blocks"].render([view], Edits((block,)), spec.markers)
    stream, replay = RestoredStream([file], spec.markers), Replay()
    reached, kept = sorted((data.draw(st.integers(0, len(text))), data.draw(st.integers(0, len(text)))))[::-1]
    if reached < len(text):
        replay.take(stream.feed(text[:reached]))
        closing = spec.markers.replace + "\n"
        kept = max(kept, text.rfind(closing, 0, reached) + len(closing) if closing in text[:reached] else 0)
        replay.take(stream.rollback(kept))
    else:
        kept = 0
    for begin in range(kept, len(text), size):
        replay.take(stream.feed(text[begin : begin + size]))
    assert tuple(replay.done) == land(text, spec).edits.blocks


NASTY = {
    path: content.replace("\n", "\r\n")
    for path, content in SOURCES.items()
    if path in ("plain.py", "a.go", "a.sh", "a.json", "open.py", "notes.txt", "a.rs", "A.java")
}
NASTY["mixed.py"] = SOURCES["plain.py"].replace(":\n", ":\r\n")
NASTY["bom.py"] = MARK + "x = 1\r\ny = 'a'\r\n"


@pytest.mark.parametrize("path", sorted(NASTY))
@pytest.mark.parametrize("name", NAMES)
def test_whatever_a_random_model_writes(name: EditFormat, path: str) -> None:
    file = SourceFile(path, NASTY[path])
    spec = _spec(name, file)
    for seed in range(5):
        state = compile_edit(spec, vocabulary())
        outcome = generate(state, vocabulary(), 150, random.Random(seed), 0.6, favourites=favourites(name))
        landed = land(spelled(outcome.tokens).decode(), spec)
        for after in landed.changed:
            assert _ends(after.content) <= _ends(file.content)
            assert after.content.startswith(MARK) == file.content.startswith(MARK)
            if errors(path, file.content.encode()) == 0:
                assert errors(path, after.content.encode()) == 0
            if path.endswith(".py") and compiles(file.content.encode()):
                assert compiles(after.content.encode())
            assert _again(name, landed.text, file) == after.content
            assert git_applied([file], landed.patch) == {path: after.content}
