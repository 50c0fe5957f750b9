"""What watches a hunk's text: its new and kept lines, from wherever in the file the hunk may turn out to stand.

A hunk names its place by what it quotes, so its first lines may fit several. While they are few, each is watched by itself;
before that, none is, and the lines are read again. Knows no marks' bytes and no tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from dovetail.serve.edit.watch import Watching

_WAYS_AT_MOST = 4

Text = tuple[bytes, bool]
"""A piece of the hunk's text, and whether it is new."""


class Ways:
    """Immutable. ``places``: where the hunk may begin, each with its watches; None: too many to watch yet."""

    __slots__ = ("places",)

    def __init__(self, places: dict[int, Watching] | None = None) -> None:
        self.places = places

    def feed(
        self,
        fresh: Iterable[Text],
        so_far: Callable[[], Iterable[Text]],
        starts: Sequence[int] | None,
        opened: Callable[[int], Watching],
    ) -> Ways | None:
        """The ways behind ``fresh``, of those that begin at one of ``starts`` (None: too many); None if there are none.

        ``so_far``: all the text, ``fresh`` included; ``opened``: the watches before the first byte.
        """
        if starts is None:
            return self
        begun: dict[int, Watching] = {}
        text = list(fresh if self.places is not None else so_far())
        for start in starts:
            at = self.places.get(start) if self.places is not None else opened(start)
            after = _fed(at, text) if at is not None else None
            if after is not None:
                begun[start] = after
        return Ways(begun) if begun else None


def few(starts: Sequence[int]) -> Sequence[int] | None:
    """``starts``, unless they are too many to be watched."""
    return starts if len(starts) <= _WAYS_AT_MOST else None


def _fed(watching: Watching, text: Iterable[Text]) -> Watching | None:
    at: Watching | None = watching
    for piece, new in text:
        if at is None:
            return None
        at = at.feed(piece, new)
    return at
