"""The tokens of a prompt and its output: where each of them, each run of them and each pair of kinds was before, and what followed."""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Sequence
from operator import itemgetter

RUN = 3
_TOP = 48
_NEAR = 16_384
"""Pairs are noted in so many tokens at a prompt's end, and in the output."""


class Seen:
    """What followed at the places behind a key.

    ``total`` places, ``different`` followers; ``top``: the most frequent of them with their counts; ``latest``: the last two
    that differ, the latest first.
    """

    def __init__(self) -> None:
        self.total = 0
        self.latest: tuple[int, ...] = ()
        self._counts: dict[int, int] = {}
        self._top: list[tuple[int, int]] | None = []

    def add(self, follower: int) -> None:
        """One place more."""
        self.total += 1
        self._counts[follower] = self._counts.get(follower, 0) + 1
        if self.latest[:1] != (follower,):
            self.latest = (follower, *self.latest[:1])
        self._top = None

    @property
    def different(self) -> int:
        """How many tokens followed."""
        return len(self._counts)

    @property
    def top(self) -> list[tuple[int, int]]:
        """The most frequent first."""
        if self._top is None:
            self._top = heapq.nlargest(_TOP, self._counts.items(), key=itemgetter(1))
        return self._top

    def of(self, token: int | None) -> int:
        """How often ``token`` followed."""
        return self._counts.get(token, 0) if token is not None else 0


class History:
    """Places are counted behind the tokens: ``tokens[place]`` is what followed. ``kinds``: of every token; None: not looked at."""

    def __init__(self, prompt: Sequence[int], kinds: Sequence[int] | None = None) -> None:
        self.tokens = list(prompt)
        self._kinds = kinds
        self._prompt_length = len(self.tokens)
        self._near = max(1, self._prompt_length - _NEAR)
        self._places: dict[Hashable, list[int]] = {}
        self._seen: dict[Hashable, Seen] = {}
        for end in range(1, len(self.tokens) + 1):
            self._note(end)

    def behind(self, key: Hashable) -> Sequence[int]:
        """The places behind a token, or a run of two or three, or a pair of kinds, the latest last."""
        return self._places.get(key, ())

    def seen(self, key: Hashable) -> Seen | None:
        """What followed there; None: nothing did."""
        places = self._places.get(key)
        if not places:
            return None
        seen = self._seen.get(key)
        if seen is None:
            seen = self._seen[key] = Seen()
        for place in places[seen.total :]:
            if place < len(self.tokens):
                seen.add(self.tokens[place])
        return seen if seen.total else None

    def kinds_of(self, pair: Sequence[int]) -> Hashable | None:
        """The key of the kinds of two tokens."""
        if self._kinds is None or len(pair) < 2 or max(pair) >= len(self._kinds):
            return None
        return "kinds", self._kinds[pair[0]], self._kinds[pair[1]]

    def append(self, tokens: Sequence[int]) -> None:
        """New output."""
        for token in tokens:
            self.tokens.append(token)
            self._note(len(self.tokens))

    def rewind(self, keep: int) -> None:
        """Forget all but the first ``keep`` output tokens."""
        if len(self.tokens) > self._prompt_length + keep:
            self._seen.clear()
        while len(self.tokens) > self._prompt_length + keep:
            for key in self._keys(len(self.tokens)):
                self._places[key].pop()
            self.tokens.pop()

    def _note(self, end: int) -> None:
        places = self._places
        for key in self._keys(end):
            known = places.get(key)
            if known is None:
                places[key] = [end]
            else:
                known.append(end)

    def _keys(self, end: int) -> list[Hashable]:
        tokens = self.tokens
        keys: list[Hashable] = [tokens[end - 1]]
        if end >= RUN:
            keys.append(tuple(tokens[end - RUN : end]))
        if self._kinds is not None and end > self._near:
            pair = tuple(tokens[end - 2 : end])
            keys += (pair, kinds) if (kinds := self.kinds_of(pair)) is not None else (pair,)
        return keys
