"""How many lines a change adds and removes. Exact and quick: the longest common subsequence, with a line per bit."""

from __future__ import annotations

import re

_END = re.compile(rb"\r+\n")
_MARK = "\ufeff".encode()


def plain(text: bytes) -> bytes:
    """The text as a policy reads it: with line feeds only and no byte order mark, so that neither is a change."""
    while text.startswith(_MARK):
        text = text[len(_MARK) :]
    return _END.sub(b"\n", text) if b"\r\n" in text else text


def changed_lines(before: bytes, after: bytes) -> int:
    """Lines added and lines removed, together: the least number that turns one text into the other."""
    before, after = plain(before), plain(after)
    if before == after:
        return 0
    head = before.rfind(b"\n", 0, common_start(before, after)) + 1
    before, after = before[head:], after[head:]
    shared = common_start(before[::-1], after[::-1])
    line = before.find(b"\n", len(before) - shared) + 1
    tail = len(before) - line if line else 0
    old, new = _lines(before[: len(before) - tail]), _lines(after[: len(after) - tail])
    return len(old) + len(new) - 2 * _common_subsequence(old, new)


def common_start(one: bytes, other: bytes) -> int:
    """How many bytes the two begin with alike: by halving, as comparing slices is quick."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _common_subsequence(old: list[bytes], new: list[bytes]) -> int:
    """Its length. Bit i of ``row`` is zero where the subsequence grows with line i of ``old`` (Hyyro 2004)."""
    if not old or not new:
        return 0
    places: dict[bytes, int] = {}
    for index, line in enumerate(old):
        places[line] = places.get(line, 0) | 1 << index
    every = (1 << len(old)) - 1
    row = every
    for line in new:
        met = row & places.get(line, 0)
        row = ((row + met) | (row - met)) & every
    return len(old) - row.bit_count()


def _lines(text: bytes) -> list[bytes]:
    pieces = text.split(b"\n")
    return [piece + b"\n" for piece in pieces[:-1]] + ([pieces[-1]] if pieces[-1] else [])
