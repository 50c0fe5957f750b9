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
    old, new = _lines(before), _lines(after)
    head = 0
    while head < min(len(old), len(new)) and old[head] == new[head]:
        head += 1
    tail = 0
    while tail < min(len(old), len(new)) - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    old, new = old[head : len(old) - tail], new[head : len(new) - tail]
    return len(old) + len(new) - 2 * _common_subsequence(old, new)


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
