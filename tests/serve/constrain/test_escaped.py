"""The copy engine on a file as JSON escapes it, against brute force; and the masks of JSON strings."""

from __future__ import annotations

import json

import numpy as np
import pytest
from byte_pairs import vocabulary
from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail.serve.constrain.copy.escaped import EscapedFile, escaped
from dovetail.serve.constrain.copy.quotation import Quotable

LINES = st.sampled_from(["x\n", "n\n", "\n", '"\n', "\\\n", "\\n\n", "é\n", "x\r\n", "\tx\n", '"x"\n', "\x0b\n"])
CONTENTS = st.builds(
    lambda lines, end: "".join(lines) + end, st.lists(LINES, max_size=8), st.sampled_from(["", "x", "n", '"', "\\"])
)


def _lines(content: str) -> list[str]:
    pieces = content.split("\n")
    return [piece + "\n" for piece in pieces[:-1]] + ([pieces[-1]] if pieces[-1] else [])


def _legal(content: str) -> set[bytes]:
    """Every run of whole lines that the content holds once, escaped."""
    lines, found = _lines(content), set()
    for first in range(len(lines)):
        for last in range(first, len(lines)):
            text = "".join(lines[first : last + 1])
            if sum(content.startswith(text, index) for index in range(len(content))) == 1:
                found.add(json.dumps(text, ensure_ascii=False)[1:-1].encode())
    return found


@settings(max_examples=150, deadline=None)
@given(CONTENTS)
def test_what_may_be_quoted(content: str) -> None:
    prepared = EscapedFile(content.encode())
    quotable = Quotable(prepared, b'"', vocabulary())
    region = prepared.whole
    legal = _legal(content)
    assert region.offers == bool(legal)
    prefixes = {text[:length] for text in legal for length in range(1, len(text) + 1)}
    tried = prefixes | {prefix + b"n" for prefix in prefixes} | {prepared.text[k : k + 7] for k in range(len(content))}
    for text in tried - {b""}:
        at = quotable.feed(region, quotable.start(), text)
        assert (at is not None) == (text in prefixes), text
        if at is not None:
            closing = quotable.closing(region, at)
            assert (closing is not None) == (text in legal), text
            if closing is not None:
                raw = content.encode()[prepared.to_raw(closing[0]) : prepared.to_raw(closing[1])]
                assert escaped(raw.decode()).encode() == text
                assert tuple(map(prepared.from_raw, map(prepared.to_raw, closing))) == closing


@settings(max_examples=60, deadline=None)
@given(CONTENTS)
def test_continuations_hold_what_goes_on(content: str) -> None:
    prepared = EscapedFile(content.encode())
    quotable = Quotable(prepared, b'"', vocabulary())
    at = quotable.start()
    for text in sorted(_legal(content)):
        for length in range(len(text)):
            here = quotable.feed(prepared.whole, at, text[:length]) if length else at
            assert here is not None
            following = quotable.continuations(prepared.whole, here)
            assert any(each.startswith(text[length : length + 1]) for each in following)
            for each in following:
                assert quotable.feed(prepared.whole, here, each) is not None


@settings(max_examples=60, deadline=None)
@given(CONTENTS)
def test_order(content: str) -> None:
    prepared = EscapedFile(content.encode())
    assert prepared.order == sorted(prepared.starts, key=lambda start: prepared.text[start:])


def _tokens(mask: np.ndarray) -> set[int]:
    return set(np.flatnonzero(np.unpackbits(mask.view(np.uint8), bitorder="little")).tolist())


def test_string_mask() -> None:
    allowed = _tokens(vocabulary().string_mask(0))
    for token in range(len(vocabulary())):
        spelling = vocabulary().spelling(token) or b""
        if spelling and spelling.isascii() and min(spelling) >= 0x20:
            assert token in allowed
        if b"\n" in spelling and b'"' not in spelling:
            assert token not in allowed


@pytest.mark.parametrize("first", [b"n", b"0123456789abcdef", b'"\\'])
def test_led_by(first: bytes) -> None:
    expected = {token for token in range(len(vocabulary())) if (vocabulary().spelling(token) or b"\0")[0] in first}
    assert _tokens(vocabulary().led_by(first)) == expected
