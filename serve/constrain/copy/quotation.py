"""A quotation in progress: which lines of a file the bytes so far may be the beginning of, and what may follow.

Knows the delimiter that ends a quotation as bytes only, and neither tokens' ids beyond the vocabulary nor edits.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import NamedTuple

import numpy as np

from dovetail.serve.constrain.base import Int32Array
from dovetail.serve.constrain.copy.prepared import IntArray, PreparedFile, Region
from dovetail.serve.constrain.vocabulary import Vocabulary

_WIDE = 64
"""From this many candidates on, an interval's tokens are computed once per file and filtered afterwards."""
_WIDE_KEPT = 256
_LINE_FEED = 0x0A


class Interval(NamedTuple):
    """The candidates ``order[low:high]``, of whose text ``depth`` bytes have been quoted. Immutable."""

    low: int
    high: int
    depth: int


class WideTokens(NamedTuple):
    """The tokens that may follow a wide interval, with the ranks (first, last + 1) of the candidates they belong to."""

    tokens: IntArray
    low: IntArray
    high: IntArray


class Quotable:
    """A prepared file together with the delimiter and the vocabulary: computes continuations, keeps the dear ones."""

    def __init__(self, prepared: PreparedFile, delimiter: bytes, vocabulary: Vocabulary) -> None:
        self.prepared = prepared
        self.delimiter = delimiter
        self.vocabulary = vocabulary
        self._wide: OrderedDict[Interval, WideTokens] = OrderedDict()

    def start(self) -> Interval:
        """Nothing quoted yet."""
        return Interval(0, len(self.prepared.order), 0)

    def feed(self, region: Region, at: Interval, data: bytes) -> Interval | None:
        """The interval after ``data``; None if no candidate goes on with it inside its limits."""
        low, high = self.prepared.narrow(at.low, at.high, at.depth, data)
        depth = at.depth + len(data)
        return Interval(low, high, depth) if region.reaches(low, high, depth) else None

    def at_line_end(self, at: Interval) -> bool:
        """Whether the quotation is not empty and ends with a line."""
        return at.depth > 0 and self.prepared.ends_line(self.prepared.order[at.low] + at.depth)

    def closing(self, region: Region, at: Interval) -> tuple[int, int] | None:
        """The byte range that the quotation names if it ended here: whole lines, unique, within its limit.

        At most one candidate can be unique; two can share the text only if one of them ends in the imagined line feed.
        """
        if at.high - at.low > 2 or not self.at_line_end(at):
            return None
        for rank in range(at.low, at.high):
            start = self.prepared.order[rank]
            end = start + at.depth
            if region.room[rank] >= at.depth and self.prepared.ends_line(end) and self.prepared.unique(start, end):
                return start, end
        return None

    def continuations(self, region: Region, at: Interval) -> list[bytes]:
        """What may follow, in pieces: the candidates' rests of a line, cut at the longest token's length.

        Kept by the region for wide intervals, of which a file has few.
        """
        kept = region.kept.get(at)
        if kept is not None:
            return kept
        prepared, longest = self.prepared, self.vocabulary.longest
        found: dict[bytes, None] = {}
        for rank in range(at.low, at.high):
            if region.room[rank] > at.depth:
                start = prepared.order[rank] + at.depth
                found[prepared.text[start : min(prepared.line_end(start), start + longest)]] = None
        if at.high - at.low >= _WIDE and len(region.kept) < _WIDE_KEPT:
            region.kept[at] = list(found)
        return list(found)

    def kept_mask(self, region: Region, at: Interval, key: Hashable, build: Callable[[], Int32Array]) -> Int32Array:
        """``build()``, or for a wide interval what it gave for the same ``key`` before."""
        if at.high - at.low < _WIDE:
            return build()
        mask = region.masks.get((at, key))
        if mask is None:
            mask = build()
            if len(region.masks) < _WIDE_KEPT:
                region.masks[at, key] = mask
        return mask

    def mask(self, region: Region, at: Interval) -> Int32Array:
        """The tokens that may follow: a superset only where a wide interval meets a cut, or a delimiter is overrun."""
        if at.high - at.low < _WIDE:
            return self.vocabulary.pack(self._narrow_tokens(region, at))
        wide = self._wide_tokens(at)
        if region is self.prepared.whole:
            return self.vocabulary.pack(wide.tokens)
        before = region.offered_before
        return self.vocabulary.pack(wide.tokens[before[wide.high] > before[wide.low]])

    def after_delimiter(self, text: bytes) -> list[int]:
        """Tokens that spell ``text`` and then begin, or overrun, the delimiter."""
        table = self.vocabulary.prefixes
        found: list[int] = []
        for length in range(1, len(self.delimiter) + 1):
            spelled = text + self.delimiter[:length]
            tokens = table.get(spelled)
            if tokens is None:
                return found
            found.extend(tokens)
        return found + self.vocabulary.under(text + self.delimiter)

    def _narrow_tokens(self, region: Region, at: Interval) -> set[int]:
        found: set[int] = set()
        seen: set[tuple[bytes, bool]] = set()
        if self.closing(region, at):
            found.update(self.after_delimiter(b""))
        for rank in range(at.low, at.high):
            window = self._window(region.room[rank], rank, at.depth)
            if window and window not in seen:
                seen.add(window)
                found.update(self._tokens_along(window[0], self.prepared.order[rank], at.depth))
        return found

    def _window(self, room: int, rank: int, depth: int) -> tuple[bytes, bool] | None:
        """The bytes a token may spell there, and whether they hold the imagined line feed; None if there are none."""
        start = self.prepared.order[rank] + depth
        stop = start + min(room - depth, self.vocabulary.longest)
        return (self.prepared.text[start:stop], stop > len(self.prepared.raw)) if stop > start else None

    def _tokens_along(self, window: bytes, start: int, depth: int) -> list[int]:
        table = self.vocabulary.prefixes
        found: list[int] = []
        for length in range(1, len(window) + 1):
            spelled = window[:length]
            tokens = table.get(spelled)
            if tokens is None:
                break
            found.extend(tokens)
            if window[length - 1] == _LINE_FEED and spelled + self.delimiter[:1] in table:
                end = start + depth + length
                if self.prepared.unique(start, end):
                    found.extend(self.after_delimiter(spelled))
        return found

    def _wide_tokens(self, at: Interval) -> WideTokens:
        kept = self._wide.get(at)
        if kept is not None:
            return kept
        region = self.prepared.whole
        spans: dict[int, list[int]] = {}
        known: dict[tuple[bytes, bool], list[int]] = {}
        for rank in range(at.low, at.high):
            window = self._window(region.room[rank], rank, at.depth)
            if not window:
                continue
            tokens = known.get(window)
            if tokens is None:
                tokens = known[window] = self._tokens_along(window[0], self.prepared.order[rank], at.depth)
            for token in tokens:
                spans.setdefault(token, [rank, rank])[1] = rank
        low = np.fromiter((span[0] for span in spans.values()), dtype=np.int64, count=len(spans))
        high = np.fromiter((span[1] + 1 for span in spans.values()), dtype=np.int64, count=len(spans))
        wide = WideTokens(np.fromiter(spans, dtype=np.int64, count=len(spans)), low, high)
        self._wide[at] = wide
        if len(self._wide) > _WIDE_KEPT:
            self._wide.pop(next(iter(self._wide)), None)
        return wide
