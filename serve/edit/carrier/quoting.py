"""A quotation of known text inside a call's argument: what may follow, and where it may end. Immutable; knows no grammar."""

from __future__ import annotations

from dataclasses import dataclass

from dovetail.serve.constrain.base import Int32Array
from dovetail.serve.constrain.vocabulary import Vocabulary
from dovetail.serve.edit.carrier.shown import Places, ShownText

_WIDE = 32
_KEPT = 256


@dataclass(frozen=True, eq=False)
class Rules:
    """When a quotation may end.

    ``unique``: only where it occurs once. ``lines_unique``: only where it occurs once, if it spans lines; a part of a line
    may occur several times, since the call can still say that all of them are meant. ``empty``: it may be empty.
    """

    unique: bool
    lines_unique: bool
    empty: bool


@dataclass(frozen=True, eq=False)
class Quoting:
    """``places``: where what has been quoted so far, ``depth`` bytes, occurs; None before the first byte."""

    shown: ShownText
    rules: Rules
    places: Places | None = None
    depth: int = 0

    def feed(self, data: bytes) -> Quoting | None:
        """After ``data``; None if the known text does not go on like this, or could never end."""
        if b"\xff" in data:
            return None
        shown = self.shown
        places = shown.occurrences(data) if self.places is None else shown.going_on(self.places, self.depth, data)
        if not len(places):
            return None
        after = Quoting(shown, self.rules, places, self.depth + len(data))
        return after if after._can_end() else None

    def ends(self) -> bool:
        """Whether the quotation may end here."""
        if self.places is None:
            return self.rules.empty or not self.shown.text
        place = int(self.places[0])
        if not self._aligned(place + self.depth):
            return False
        if self.shown.closed and not self._all_open():
            return False
        return len(self.places) == 1 or not self._must_be_unique(place)

    def _all_open(self) -> bool:
        assert self.places is not None
        return all(self.shown.is_open(int(place), self.depth) for place in self.places)

    @property
    def between_characters(self) -> bool:
        """Whether a delimiter could come next, rather than the rest of a character."""
        return self.places is None or self._aligned(int(self.places[0]) + self.depth)

    @property
    def quoted(self) -> bytes:
        """What has been quoted, as it was written."""
        if self.places is None:
            return b""
        place = int(self.places[0])
        return self.shown.text[place : place + self.depth]

    def mask(self, vocabulary: Vocabulary, closer: bytes) -> Int32Array:
        """The tokens that may come next: a superset at the end of the text, and where a token goes beyond the ``closer``."""
        wide = self.places is None or len(self.places) >= _WIDE
        key = (self.quoted, self.ends(), closer)
        kept = self.shown.masks.get(key) if wide else None
        if kept is not None:
            return kept
        found: set[int] = set()
        places = self.shown.starts() if self.places is None else self.places
        if wide:
            places = self.shown.beginnings(places, self.depth, lambda text: _known(text, vocabulary, closer, found))
        for window in self.shown.windows(places, self.depth, vocabulary.longest):
            _along(window, vocabulary, closer, found)
        if self.ends():
            _through(b"", closer, vocabulary, found)
        mask = vocabulary.pack(found)
        if wide and len(self.shown.masks) < _KEPT:
            self.shown.masks[key] = mask
        return mask

    def likely(self) -> tuple[bytes, bytes] | None:
        """What comes next if the line is quoted on, with the beginning of the line before it; None: too many places."""
        if self.places is None or len(self.places) > 2 or not self.between_characters:
            return None
        place = int(self.places[0]) + self.depth
        shown = self.shown
        return shown.text[shown.line_start(place) : place], shown.text[place : shown.line_end(place)]

    def _aligned(self, place: int) -> bool:
        return bool(self.shown.aligned[place]) or self.shown.text[place : place + 1] == b"\xff"

    def _must_be_unique(self, place: int) -> bool:
        if not self.shown.whole:
            return False
        return self.rules.unique or (self.rules.lines_unique and self.shown.several_lines(place, self.depth))

    def _can_end(self) -> bool:
        assert self.places is not None
        if self.shown.closed:
            places, free = self.places, not self._must_be_unique(int(self.places[0]))
            return (free and self._all_open()) or any(
                self.shown.is_open(int(place), self.depth) and self.shown.could_be_once(int(place)) for place in places
            )
        if not self.shown.whole or not (self.rules.unique or self.rules.lines_unique):
            return True
        first = int(self.places[0])
        if first < self.shown.repeats_from:
            return True
        return not self.rules.unique and not self.shown.several_lines(first, self.depth)


def _known(spelled: bytes, vocabulary: Vocabulary, closer: bytes, found: set[int]) -> bool:
    """Whether tokens begin with ``spelled``; those that are spelled so, alone or with the closer behind it, are found."""
    tokens = vocabulary.prefixes.get(spelled)
    if tokens is None:
        return False
    found.update(tokens)
    if spelled + closer[:1] in vocabulary.prefixes:
        _through(spelled, closer, vocabulary, found)
    return True


def _along(window: bytes, vocabulary: Vocabulary, closer: bytes, found: set[int]) -> None:
    """Tokens that spell a beginning of ``window``, or that and then the closer."""
    for length in range(1, len(window) + 1):
        if not _known(window[:length], vocabulary, closer, found):
            return


def _through(spelled: bytes, closer: bytes, vocabulary: Vocabulary, found: set[int]) -> None:
    """Tokens that spell ``spelled`` and then begin, or overrun, the closer."""
    for length in range(1, len(closer) + 1):
        tokens = vocabulary.prefixes.get(spelled + closer[:length])
        if tokens is None:
            return
        found.update(tokens)
    found.update(vocabulary.under(spelled + closer))
