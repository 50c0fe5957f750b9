"""Where a growing text ends by its lines: the same however it is cut into pieces."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovetail.serve.api.completions.lines import LineWatch


def read(pieces: list[str], indent: int) -> tuple[str, bool]:
    watch = LineWatch(indent, 0)
    text = ""
    for piece in pieces:
        text += watch.take(piece)
        if watch.ended:
            return text, True
    return text + watch.finish(), False


@pytest.mark.parametrize(
    ("text", "indent", "kept"),
    [
        ("a\n  b\nc\n", 0, "a\n  b\nc\n"),
        ("a\n  b\nc\n", 2, "a\n  b"),
        ("a\n  b\n\n  c\n d", 2, "a\n  b\n\n  c"),
        ("a\n\tb\nc", 1, "a\n\tb"),
        ("a\n  b\n   ", 2, "a\n  b\n   "),
        ("", 2, ""),
    ],
)
def test_where_it_ends(text, indent, kept):
    assert read([text], indent) == (kept, kept != text)


@given(st.text("a \n", max_size=30), st.integers(0, 3), st.lists(st.integers(0, 30), max_size=6))
def test_pieces_make_no_difference(text, indent, cuts):
    bounds = [0, *sorted(cuts), len(text)]
    pieces = [text[a:b] for a, b in pairwise(bounds)]
    assert read(pieces, indent) == read([text], indent)
