"""From tokens to text that can be sent: whole characters, stop strings found and held back, and all of it rewindable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from dovetail.models.detokenizer import Detokenizer


class StopHit(NamedTuple):
    """A stop string was completed; the text before it is final."""

    stop: str


class OutputText:
    """The text of one output. ``take`` returns what may be sent and has not been."""

    def __init__(self, detokenizer: Detokenizer, stops: Sequence[str]) -> None:
        self._detokenizer = detokenizer
        self._stops = tuple(stops)
        self._longest = max((len(stop) for stop in stops), default=0)
        self._text = ""
        self._sent = 0
        self._ends: list[int] = []
        self._marks = [self._detokenizer.mark()]

    def push(self, token: int) -> StopHit | None:
        """Append one token's text. After a hit nothing more may be pushed."""
        before = len(self._text)
        self._text += self._detokenizer.push(token)
        self._ends.append(len(self._text))
        self._marks.append(self._detokenizer.mark())
        if not self._stops or len(self._text) == before:
            return None
        start = max(0, before - self._longest + 1)
        hits = [(at, stop) for stop in self._stops if (at := self._text.find(stop, start)) >= 0]
        if not hits:
            return None
        at, stop = min(hits)
        self._text = self._text[:at]
        return StopHit(stop)

    def take(self, final: bool = False) -> str:
        """Text not sent yet; unless ``final``, less a tail that may be the beginning of a stop string."""
        end = len(self._text)
        if not final:
            end -= self._held_back()
        piece = self._text[self._sent : end]
        self._sent = max(self._sent, end)
        return piece

    def flush(self) -> None:
        """Close an incomplete character at the end of the output (it becomes U+FFFD)."""
        self._text += self._detokenizer.flush()

    def rewind(self, keep_tokens: int) -> int:
        """Forget all but the first ``keep_tokens`` tokens; returns how many sent characters stay valid."""
        del self._ends[keep_tokens:]
        del self._marks[keep_tokens + 1 :]
        self._detokenizer.rewind(self._marks[keep_tokens])
        self._text = self._text[: self._ends[-1] if self._ends else 0]
        self._sent = min(self._sent, len(self._text))
        return self._sent

    def _held_back(self) -> int:
        for length in range(min(self._longest - 1, len(self._text) - self._sent), 0, -1):
            tail = self._text[-length:]
            if any(stop.startswith(tail) for stop in self._stops):
                return length
        return 0
