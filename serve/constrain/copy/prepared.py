"""A file prepared for quoting: its line starts in the order of what follows them, and which stretches are unique.

Works on bytes, line-aligned; a missing final line feed is imagined (``text`` has it, ``raw`` does not). Knows no tokens
and no edit format.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Hashable
from functools import cached_property

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
_LINE_FEED = 0x0A
Cuts = tuple[tuple[int, int], ...]
"""Disjoint, sorted, line-aligned byte ranges of ``text`` that must not be quoted."""


class PreparedFile:
    """The line starts of one content, sorted, with look-ups on them. Immutable but for caches; shared by requests.

    Sorting is prefix doubling over *lines* (each replaced by its rank; no line is a proper prefix of another because the
    line feed ends it), so that a file of equal lines costs no more than any other: O(n log^2 n) for n lines.
    """

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        lines = self._lines()
        self.text = b"".join(lines)
        lengths = np.fromiter((len(line) for line in lines), dtype=np.int64, count=len(lines))
        self.ends: list[int] = np.cumsum(lengths).tolist()
        self.starts: list[int] = [0, *self.ends[:-1]] if lines else []
        ranks = {line: rank for rank, line in enumerate(sorted(set(lines)))}
        order = _suffix_order(np.fromiter((ranks[line] for line in lines), dtype=np.int64, count=len(lines)))
        self.order: list[int] = np.asarray(self.starts, dtype=np.int64)[order].tolist()
        self._rank_of_line: IntArray = np.argsort(order)
        self._known: dict[int, tuple[int, int]] = {}

    def _lines(self) -> list[bytes]:
        """The lines as they are quoted; no line is a proper prefix of one that is not the last."""
        pieces = self.raw.split(b"\n")
        return [line + b"\n" for line in (pieces if pieces[-1] else pieces[:-1])]

    def ends_line(self, position: int) -> bool:
        """Whether a line ends before ``position`` of ``text``."""
        return position > 0 and self.text[position - 1] == _LINE_FEED

    def to_raw(self, position: int) -> int:
        """A line boundary of ``text`` as a position in the raw content with its imagined last line feed."""
        return position

    def from_raw(self, position: int) -> int:
        """The reverse of ``to_raw``."""
        return position

    def unique(self, start: int, end: int) -> bool:
        """Whether ``raw`` holds the text from ``start`` to ``end`` once only, at whatever offset.

        Monotone in ``end``; what was found out is kept per start.
        """
        repeated, single = self._known.get(start, (start, len(self.text) + 1))
        if end >= single:
            return True
        if end <= repeated:
            return False
        first = self.to_raw(start)
        needle = self.raw[first : self.to_raw(end)]
        found = self.raw.find(needle) == first and self.raw.find(needle, first + 1) < 0
        self._known[start] = (repeated, end) if found else (end, single)
        return found

    def unique_end(self, start: int, limit: int) -> int:
        """The first line end at which the text from ``start`` is unique; at ``limit`` it must be."""
        low, high = bisect_right(self.ends, start), bisect_left(self.ends, limit)
        step = 1
        while low + step < high and not self.unique(start, self.ends[low + step - 1]):
            step *= 2
        high = min(high, low + step - 1)
        return self.ends[bisect_left(range(high), True, low, high, key=lambda k: self.unique(start, self.ends[k]))]

    def narrow(self, low: int, high: int, depth: int, data: bytes) -> tuple[int, int]:
        """The part of the interval ``low:high`` of ``order`` whose texts go on with ``data`` after ``depth`` bytes."""
        text, order, length = self.text, self.order, len(data)
        if high - low == 1:
            return (low, high) if text.startswith(data, order[low] + depth) else (low, low)

        def key(start: int) -> bytes:
            return text[start + depth : start + depth + length]

        low = bisect_left(order, data, low, high, key=key)
        if low == high or key(order[low]) != data:
            return low, low
        return low, bisect_right(order, data, low, high, key=key)

    def line_end(self, position: int) -> int:
        """Where the line that ``position`` is in, or begins, ends (behind its line feed)."""
        return self.ends[bisect_right(self.ends, position)]

    def line_start(self, position: int) -> int:
        """Where the line that ``position`` is in begins; a position at a line start is its own."""
        return self.starts[bisect_right(self.starts, position) - 1]

    def rank(self, start: int) -> int:
        """The index in ``order`` of a line start."""
        return int(self._rank_of_line[bisect_left(self.starts, start)])

    def starts_within(self, start: int, end: int) -> list[int]:
        """The line starts from ``start`` to before ``end``."""
        return self.starts[bisect_left(self.starts, start) : bisect_left(self.starts, end)]

    @cached_property
    def whole(self) -> Region:
        """The region with nothing cut out."""
        return Region(self, (), frozenset())

    def region(self, cuts: Cuts, banned: frozenset[int]) -> Region:
        """What may be quoted when ``cuts`` must not be, and no quotation begins at one of ``banned``."""
        return Region(self, cuts, banned) if cuts or banned else self.whole


class Region:
    """How far a quotation may reach from each line start.

    ``room[rank]``: bytes from ``order[rank]`` to the next cut or the end, or -1 where no quotation may begin: a start
    whose text is not even unique at its limit could never be finished. Uniqueness at the limit is monotone within a
    stretch between two cuts (a longer text that ends at the same place holds the shorter one), hence a binary search.
    ``kept`` and ``masks``: what others found dear to compute of it.
    """

    def __init__(self, prepared: PreparedFile, cuts: Cuts, banned: frozenset[int]) -> None:
        self.prepared = prepared
        room = np.full(len(prepared.order), -1, dtype=np.int64)
        size = len(prepared.text)
        begins = (0, *(end for _, end in cuts))
        stops = (*(start for start, _ in cuts), size)
        for begin, stop in zip(begins, stops, strict=True):
            first, last = bisect_left(prepared.starts, begin), bisect_left(prepared.starts, stop)
            count = bisect_left(
                range(last), True, first, last, key=lambda k: not prepared.unique(prepared.starts[k], stop)
            )
            offered = [k for k in range(first, count) if prepared.starts[k] not in banned]
            lines = np.asarray(offered, dtype=np.int64)
            room[prepared._rank_of_line[lines]] = stop - np.asarray(prepared.starts, dtype=np.int64)[lines]
        self.room: list[int] = room.tolist()
        self._room = room
        self.offers = bool((room >= 0).any())
        self.kept: dict[tuple[int, int, int], list[bytes]] = {}
        self.masks: dict[Hashable, npt.NDArray[np.int32]] = {}

    @cached_property
    def offered_before(self) -> IntArray:
        """``offered_before[rank]``: how many starts of lower rank are offered."""
        return np.concatenate(([0], np.cumsum(self._room >= 0)))

    def reaches(self, low: int, high: int, depth: int) -> bool:
        """Whether from some start in the interval a quotation may be ``depth`` bytes long."""
        if low >= high:
            return False
        if self.room[low] >= depth:
            return True
        return high - low > 1 and bool((self._room[low:high] >= depth).any())


def _suffix_order(ranks: IntArray) -> IntArray:
    """The order of the suffixes of ``ranks`` (Manber and Myers, prefix doubling; the end sorts first)."""
    count, width = len(ranks), 1
    order = np.argsort(ranks, kind="stable")
    while count > 1:
        following = np.full(count, -1, dtype=np.int64)
        following[:-width] = ranks[width:]
        order = np.lexsort((following, ranks))
        changed = (np.diff(ranks[order]) != 0) | (np.diff(following[order]) != 0)
        renamed = np.zeros(count, dtype=np.int64)
        renamed[order[1:]] = np.cumsum(changed)
        ranks, width = renamed, width * 2
        if ranks[order[-1]] == count - 1 or width >= count:
            break
    return order
