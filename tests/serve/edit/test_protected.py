"""Which lines are protected: ranges and marks; and that applying leaves them alone."""

from __future__ import annotations

import pytest

from dovetail.serve.edit.apply import apply_edits, keeps_lines
from dovetail.serve.edit.block import EditError, Edits, block_at
from dovetail.serve.edit.protected import protected_lines, protected_spans
from dovetail.serve.errors import UserError
from dovetail.serve.types import SourceFile


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        ("# dovetail: protected begin", "# dovetail: protected end"),
        ("  // dovetail: protected begin", "\t//dovetail:protected end"),
        ("/* dovetail: protected begin */", "/* DOVETAIL: protected end */"),
        ("<!-- dovetail: protected begin -->", "<!-- dovetail: protected end -->"),
        ("-- dovetail: protected begin", "-- dovetail: protected end\r"),
        ("REM dovetail: protected begin", "rem dovetail: protected end"),
        ("; dovetail: protected begin", "% dovetail: protected end"),
    ],
)
def test_marks_in_any_comment_syntax(begin: str, end: str) -> None:
    file = SourceFile("a", f"a\n{begin}\nb\n{end}\nc\n")
    assert protected_lines(file, ()) == [(2, 4)]
    size = len(f"{begin}\nb\n{end}\n")
    assert protected_spans(file, ()) == ((2, 2 + size),)


def test_marks_and_ranges_together() -> None:
    text = "a\n# dovetail: protected begin\nb\n# dovetail: protected begin\nc\n# dovetail: protected end\nd\ne\n"
    file = SourceFile("a", text)
    assert protected_lines(file, [("a", 6, 7), ("b", 1, 1)]) == [(2, 7)]
    assert protected_lines(file, [("a", 8, 8)]) == [(2, 6), (8, 8)]
    open_ended = SourceFile("a", "a\n# dovetail: protected begin\nb")
    assert protected_lines(open_ended, ()) == [(2, 3)]
    assert protected_lines(SourceFile("a", "x = 'dovetail: protected begin'\n# dovetail: protected end\n"), ()) == []


@pytest.mark.parametrize("lines", [(0, 1), (2, 1), (1, 4)])
def test_ranges_that_are_not_there(lines: tuple[int, int]) -> None:
    with pytest.raises(UserError) as caught:
        protected_lines(SourceFile("a", "a\nb\nc\n"), [("b", 9, 9), ("a", *lines)])
    assert caught.value.param == "protected[1]"


@pytest.mark.parametrize(
    ("start", "end", "replace", "fine"),
    [
        (0, 2, "x\n", True),
        (2, 4, "x\n", False),
        (0, 4, "x\nb\n", False),
        (2, 2, "x\n", True),
        (4, 4, "x\n", False),
        (6, 6, "x\n", True),
        (0, 8, "x\nb\nc\ny\n", True),
        (0, 8, "b\nx\nc\n", False),
    ],
)
def test_applying_leaves_them_alone(start: int, end: int, replace: str, fine: bool) -> None:
    file = SourceFile("a", "a\nb\nc\nd\n")
    edits = Edits((block_at("a", file.content, start, end, replace),))
    if fine:
        after = apply_edits([file], edits, protected=[("a", 2, 3)]).pairs[0][1]
        assert after is not None
        assert after.content == file.content[:start] + replace + file.content[end:]
    else:
        with pytest.raises(EditError) as caught:
            apply_edits([file], edits, protected=[("a", 2, 3)])
        assert caught.value.reason == "protected"


@pytest.mark.parametrize(
    ("text", "stretches", "kept"),
    [
        ("a\nb\nc\n", ["b\n"], True),
        ("a\nbb\nc\n", ["b\n"], False),
        ("b\na\n", ["a\n", "b\n"], False),
        ("a\nb", ["a\n", "b"], True),
        ("ab\n", ["b\n"], False),
        ("a\n", ["a\n", "a\n"], False),
    ],
)
def test_keeps_lines(text: str, stretches: list[str], kept: bool) -> None:
    assert keeps_lines(text, stretches) == kept
