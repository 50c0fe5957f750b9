"""The copy engine against brute force: every line-aligned unique substring, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from byte_pairs import LIBRARY, vocabulary
from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail.serve.constrain.copy.prepared import PreparedFile, Region
from dovetail.serve.constrain.copy.quotation import Interval, Quotable

DIVIDER = b"=======\n"
LINES = st.sampled_from(["x\n", "xx\n", "  x\n", "==========\n", "\n", "é\n", "x\r\n", ")\n", "\tx = 1\n", "=\n"])
CONTENTS = st.builds(
    lambda lines, end: "".join(lines) + end, st.lists(LINES, max_size=9), st.sampled_from(["", "x", "é"])
)


def _cuts(prepared: PreparedFile, picks: list[int]) -> tuple[tuple[int, int], ...]:
    lines = sorted({pick % len(prepared.starts) for pick in picks}) if prepared.starts else []
    return tuple((prepared.starts[line], prepared.ends[line]) for line in lines)


def _legal(prepared: PreparedFile, cuts: tuple[tuple[int, int], ...]) -> set[bytes]:
    """All texts that may be quoted, by trying all pairs of lines."""
    raw, found = prepared.raw, set()
    for start in prepared.starts:
        for end in prepared.ends:
            if end <= start or any(a < end and start < b for a, b in cuts):
                continue
            text = raw[start:end]
            if sum(raw.startswith(text, index) for index in range(len(raw))) == 1:
                found.add(prepared.text[start:end])
    return found


def _feed(quotable: Quotable, region: Region, data: bytes) -> Interval | None:
    return quotable.feed(region, quotable.start(), data)


@settings(max_examples=120, deadline=None)
@given(CONTENTS, st.lists(st.integers(0, 20), max_size=2))
def test_what_may_be_quoted(content: str, picks: list[int]) -> None:
    prepared = PreparedFile(content.encode())
    cuts = _cuts(prepared, picks)
    region = prepared.region(cuts, frozenset())
    quotable = Quotable(prepared, DIVIDER, vocabulary())
    legal = _legal(prepared, cuts)
    assert region.offers == bool(legal)
    prefixes = {text[:length] for text in legal for length in range(1, len(text) + 1)}
    tried = prefixes | {prefix + b"\n" for prefix in prefixes} | {prepared.text[k : k + 9] for k in range(len(content))}
    for text in tried - {b""}:
        at = _feed(quotable, region, text)
        assert (at is not None) == (text in prefixes), text
        if at is not None:
            closing = quotable.closing(region, at)
            assert (closing is not None) == (text in legal), text
            assert closing is None or prepared.text[slice(*closing)] == text


@settings(max_examples=60, deadline=None)
@given(CONTENTS, st.lists(st.integers(0, 20), max_size=1), st.integers(0, 60))
def test_mask(content: str, picks: list[int], depth: int) -> None:
    prepared = PreparedFile(content.encode())
    region = prepared.region(_cuts(prepared, picks), frozenset())
    if not region.offers:
        return
    quotable = Quotable(prepared, DIVIDER, vocabulary())
    start = max(zip(region.room, prepared.order, strict=True))[1]
    quoted = prepared.text[start : start + min(depth, max(region.room))]
    at = _feed(quotable, region, quoted) if quoted else quotable.start()
    assert at is not None
    continuations = {
        text[len(quoted) :] + DIVIDER for text in _legal(prepared, _cuts(prepared, picks)) if text.startswith(quoted)
    }
    expected = {
        token
        for token in range(len(vocabulary()))
        if (spelling := vocabulary().spelling(token))
        and any(text.startswith(spelling) or spelling.startswith(text) for text in continuations)
    }
    assert _tokens(quotable.mask(region, at)) == expected


def _tokens(mask: np.ndarray) -> set[int]:
    return set(np.flatnonzero(np.unpackbits(mask.view(np.uint8), bitorder="little")).tolist())


@pytest.mark.parametrize("lines", [[], [0], [40, 41, 42], [300]])
def test_a_wide_mask_is_a_superset_of_the_exact_one(lines: list[int]) -> None:
    prepared = PreparedFile((LIBRARY / "shlex.py").read_bytes())
    region = prepared.region(_cuts(prepared, lines), frozenset())
    quotable = Quotable(prepared, DIVIDER, vocabulary())
    for data in (b"", b" ", b"    ", b"        "):
        at = _feed(quotable, region, data) if data else quotable.start()
        assert at is not None
        wide = _tokens(quotable.mask(region, at))
        exact = quotable._narrow_tokens(region, at)
        assert wide >= exact
        assert len(wide) <= len(exact) + 20


@settings(max_examples=60, deadline=None)
@given(CONTENTS)
def test_order(content: str) -> None:
    prepared = PreparedFile(content.encode())
    assert prepared.order == sorted(prepared.starts, key=lambda start: prepared.text[start:])
    assert [prepared.rank(start) for start in prepared.order] == list(range(len(prepared.order)))


def test_a_file_of_equal_lines_is_prepared_quickly() -> None:
    prepared = PreparedFile(b"x = 1\n" * 20_000)
    assert prepared.order[0] == 6 * 19_999
    assert prepared.whole.room[-1] == len(prepared.raw)
    assert sum(room >= 0 for room in prepared.whole.room) == 1
