"""Blocks: unique, verbatim, in order, and equal to the line edits they come from."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovetail.models.embedded.blocks import (
    BlockError,
    LineEdit,
    apply_answer,
    apply_lines,
    make_blocks,
    occurrences,
    parse_answer,
)

LINES = st.lists(st.sampled_from(["a\n", "b\n", "  a\n", "x = 1\n", "\n", "ab\n"]), min_size=1, max_size=14)


@st.composite
def edited(draw: st.DrawFn) -> tuple[str, list[LineEdit]]:
    """A text of often repeated lines and some separate edits of it."""
    lines = draw(LINES)
    edits, place = [], 0
    while place <= len(lines) and len(edits) < 3:
        start = draw(st.integers(place, len(lines)))
        end = draw(st.integers(start, min(len(lines), start + 2)))
        edits.append(LineEdit(start, end, tuple(draw(st.lists(st.sampled_from(["new\n", "a\n", "z\n"]), max_size=2)))))
        place = end + 1
    return "".join(lines), edits


@given(edited())
def test_blocks_equal_line_edits(case: tuple[str, list[LineEdit]]) -> None:
    text, edits = case
    blocks = make_blocks("f.py", text, edits)
    assert all(occurrences(text, b.search) == 1 and b.search.endswith("\n") for b in blocks)
    assert apply_answer({"f.py": text}, "".join(b.render() for b in blocks)) == {"f.py": apply_lines(text, edits)}


def test_rendered_block_is_the_documented_format() -> None:
    (block,) = make_blocks("calc.py", "def add(a, b):\n    return a + b\n", [LineEdit(0, 1, ("def plus(a, b):\n",))])
    assert block.render() == "calc.py\n<<<<<<< SEARCH\ndef add(a, b):\n=======\ndef plus(a, b):\n>>>>>>> REPLACE\n"
    assert parse_answer(block.render()) == [block]
    assert parse_answer("") == []


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("calc.py\n<<<<<<< SEARCH\nx\n=======\ny\n", "not a block"),
        ("other.py\n<<<<<<< SEARCH\nx\n=======\ny\n>>>>>>> REPLACE\n", "no such file"),
        ("f.py\n<<<<<<< SEARCH\nq\n=======\ny\n>>>>>>> REPLACE\n", "occurs 0 times"),
        ("f.py\n<<<<<<< SEARCH\ny\n=======\nz\n>>>>>>> REPLACE\n", "occurs 2 times"),
        ("f.py\n<<<<<<< SEARCH\nx\n=======\nz\n>>>>>>> REPLACE\n" * 2, "overlap"),
    ],
)
def test_refuses(answer: str, message: str) -> None:
    with pytest.raises(BlockError, match=message):
        apply_answer({"f.py": "x\ny\n y\n"}, answer)
