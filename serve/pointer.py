"""The draft of a replacement: a pointer into the quoted text that finds its place again after every difference.

Two tokens in a row say where it is again; until they come, one will do that stands close behind where it got lost: a guess.

Works on token ids only. Drafts cost nothing when wrong, so this may guess; it decides nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

_GRAMS = (5, 3, 2)
_BACK, _AHEAD = 120, 600
_BACK_PENALTY = 200
_SUBSTITUTE = 8
_CLOSE_BY = 8
_TRUSTED = 16


class Pointer(NamedTuple):
    """Immutable: the ``place`` in the quoted tokens that comes next (None: lost), the last place known, the tokens since
    it was lost, the last few tokens emitted, and how many of them in a row agreed with the quoted ones."""

    place: int | None = 0
    last: int = 0
    since: int = 0
    recent: tuple[int, ...] = ()
    agreed: int = _TRUSTED

    @property
    def evidence(self) -> int:
        """How much speaks for what is proposed: the agreement, or hardly anything for a guess at a place."""
        return self.agreed if self.place is not None else 1


class Trail:
    """The quoted tokens, with an index of their short runs."""

    def __init__(self, tokens: Sequence[int]) -> None:
        self.tokens = list(tokens)
        self._places: dict[tuple[int, ...], list[int]] = {}
        for size in _GRAMS:
            for index in range(len(self.tokens) - size + 1):
                self._places.setdefault(tuple(self.tokens[index : index + size]), []).append(index + size)

    def after(self, pointer: Pointer, token: int) -> Pointer:
        """The pointer once ``token`` has been emitted."""
        recent = (*pointer.recent, token)[-max(_GRAMS) :]
        place: int | None = pointer.place
        last, since = pointer.last, pointer.since
        if place is not None:
            if place < len(self.tokens) and self.tokens[place] == token:
                return Pointer(place + 1, place + 1, 0, recent, pointer.agreed + 1)
            if pointer.agreed > 1:  # Found by one token, it never was there.
                last, since = place, 0
            place = None
        since += 1
        agreed = 0
        for size in _GRAMS:
            near = [found for found in self._places.get(recent[-size:], ()) if last - _BACK <= found <= last + _AHEAD]
            if near and len(recent) >= size:
                place = min(near, key=lambda found: abs(found - last) + (_BACK_PENALTY if found < last else 0))
                agreed = size
                break
        if place is None:
            close_by = range(last, min(last + _CLOSE_BY, len(self.tokens)))
            found = next((index for index in close_by if self.tokens[index] == token), None)
            place, agreed = (found + 1, 1) if found is not None else (None, 0)
        return Pointer(place, last, since, recent, agreed)

    def propose(self, pointer: Pointer, limit: int) -> list[int]:
        """The tokens that come next if the replacement goes on like the quoted text."""
        if pointer.place is not None:
            return self.tokens[pointer.place : pointer.place + limit]
        if pointer.since == 1:
            return self.tokens[pointer.last + 1 : pointer.last + 1 + min(limit, _SUBSTITUTE)]
        return []

    def finished(self, pointer: Pointer) -> bool:
        """Whether the quoted text has been emitted to its end."""
        return pointer.place == len(self.tokens)
