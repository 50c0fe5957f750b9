"""How likely each token comes next, as far as a text and the habits of code can say: for the branches of drafts.

What followed the same three tokens, two, one, the same two kinds of tokens, what usually follows in code, and what is in the
text at all: each says its share of what the ones before it have left, the more the more often it has been seen and the fewer
others followed there. The shares were fitted to true edits (docs/log.md). A model's own view is not asked: these are guesses.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence

from dovetail.serve.engine.native.history import RUN, History, Seen
from dovetail.serve.engine.native.usual import Counts, Usual

_SEEN = (2, 5, 17)
"""Followers seen from which on they are counted apart."""
_COMMON, _COMMON_EVERY, _COMMON_SHARE = 256, 64, 0.65

_Shares = tuple[tuple[float, float, float, float, float], ...]
"""For each amount seen: of the only follower; where few differ, of the latest and of all; where many differ, the same."""
_AFTER_TOKENS: dict[int, _Shares] = {
    3: ((0.38, 0, 0, 0, 0), (0.75, 0, 0, 0.08, 0.22), (0.9, 0.05, 0.51, 0.02, 0.36), (0.71, 0.09, 0.29, 0.17, 0.2)),
    2: ((0.2, 0, 0, 0, 0), (0.43, 0, 0, 0.09, 0.1), (0.36, 0.1, 0.07, 0.03, 0.14), (0.66, 0.02, 0.37, 0.07, 0.14)),
    1: ((0.2, 0, 0, 0, 0), (0.36, 0, 0, 0.02, 0.1), (0.52, 0.12, 0.32, 0.05, 0.17), (0.59, 0.03, 0.54, 0.03, 0.4)),
}
_AFTER_KINDS: _Shares = (
    (0.06, 0, 0, 0, 0),
    (0.22, 0, 0, 0.04, 0.13),
    (0.45, 0.08, 0.15, 0.04, 0.12),
    (0.21, 0.04, 0.29, 0.01, 0.23),
)
_USUALLY: dict[int, tuple[tuple[float, float, float], ...]] = {
    2: ((0, 0, 0), (0.18, 0.18, 0.18), (0.2, 0.14, 0.14), (0.79, 0.24, 0.24)),
    1: ((0, 0, 0), (0.04, 0.12, 0.12), (0.23, 0.06, 0.08), (0.32, 0.21, 0.08)),
}


class Followers:
    """Over one request's ``history``."""

    def __init__(self, history: History, usual: Usual | None) -> None:
        self._history = history
        self._usual = usual
        self._common: list[tuple[int, int]] = []
        self._total = 1
        self._counted = -_COMMON_EVERY

    def after(self, path: Sequence[int], instead: int | None, least: float) -> dict[int, float]:
        """Probabilities of what comes behind the history and ``path``, given that it is not ``instead``.

        Shares below ``least`` are left out.
        """
        context = (*self._history.tokens[-RUN:], *path)[-RUN:]
        mix = _Mix(instead, least)
        for agreed in range(len(context), 0, -1):
            mix.add_seen(self._history.seen(context[-agreed:] if agreed > 1 else context[-1]), _AFTER_TOKENS[agreed])
        mix.add_seen(self._history.seen(self._history.kinds_of(context[-2:])), _AFTER_KINDS)
        if self._usual is not None:
            for depth in range(min(2, len(context)), 0, -1):
                known = self._usual.after(context[-depth:])
                if known is not None:
                    mix.add_usual(known, _USUALLY[depth])
        mix.add_common(self._most_common(), self._total)
        return mix.found

    def _most_common(self) -> list[tuple[int, int]]:
        tokens = self._history.tokens
        if not 0 <= len(tokens) - self._counted < _COMMON_EVERY:
            self._common, self._counted = Counter(tokens).most_common(_COMMON), len(tokens)
            self._total = max(1, len(tokens))
        return self._common


class _Mix:
    """Probabilities so far, and what is ``left`` for those that say less."""

    def __init__(self, instead: int | None, least: float) -> None:
        self.found: dict[int, float] = {}
        self._left = 1.0
        self._instead = instead
        self._least = least

    def add_seen(self, seen: Seen | None, shares: _Shares) -> None:
        """What followed here or there."""
        if seen is None:
            return
        counted = seen.of(self._instead)
        total, different = seen.total - counted, seen.different - (counted > 0)
        if total < 1:
            return
        only, few_latest, few, many_latest, many = shares[bisect_right(_SEEN, total)]
        latest = next(token for token in seen.latest if token != self._instead)
        if different == 1:
            self._give(((latest, 1),), 1, only)
            return
        scarce = 3 * different <= total
        self._give(((latest, 1),), 1, few_latest if scarce else many_latest)
        self._give(seen.top, total, few if scarce else many)

    def add_usual(self, known: Counts, shares: Sequence[Sequence[float]]) -> None:
        """What follows in other texts."""
        counted = next((count for token, count in known.pairs if token == self._instead), 0)
        total, different = known.total - counted, len(known.pairs) - (counted > 0)
        if total < 1:
            return
        only, few, many = shares[bisect_right(_SEEN, total)]
        self._give(known.pairs, total, only if different == 1 else few if 3 * different <= total else many)

    def add_common(self, pairs: Sequence[tuple[int, int]], total: int) -> None:
        """What the text has most of, ``total`` tokens in all."""
        self._give(pairs, total, _COMMON_SHARE)

    def _give(self, pairs: Iterable[tuple[int, int]], total: int, share: float) -> None:
        """``pairs``: tokens and their counts, the most frequent first."""
        weight = self._left * share / total
        found, instead, least = self.found, self._instead, self._least
        for token, count in pairs:
            part = weight * count
            if part < least:
                break
            if token != instead:
                found[token] = found.get(token, 0.0) + part
        self._left *= 1 - share
