"""Ends a growing text at a line that leaves the block it began in, or at the first line end after a time. Knows no request."""

from __future__ import annotations

import time

_BLANK = " \t\r\n"


class LineWatch:
    """Reads a text piece by piece.

    Args:
        indent: lines after the first one that are indented by less end the text, and are not part of it; blank lines
            have no indentation to judge.
        seconds: the first line end after so long since the first piece ends the text; 0: none does.
    """

    def __init__(self, indent: int, seconds: float) -> None:
        self._indent = indent
        self._seconds = seconds
        self._began: float | None = None
        self._held = ""
        self.ended = False

    def take(self, text: str) -> str:
        """What of the text so far is certain and new."""
        self._began = self._began or time.monotonic()
        if self._seconds and "\n" in text and time.monotonic() - self._began > self._seconds:
            self.ended = True
            return self._certain(text[: text.index("\n")])
        return self._certain(text)

    def finish(self) -> str:
        """What was held back when the text ended."""
        held, self._held = self._held, ""
        return held

    def _certain(self, text: str) -> str:
        if not self._indent:
            return text
        self._held += text
        certain = ""
        while (line_end := self._held.find("\n")) >= 0:
            certain, self._held = certain + self._held[:line_end], self._held[line_end:]
            rest = self._held.lstrip(_BLANK)
            if not rest:
                return certain
            blank = self._held[: len(self._held) - len(rest)]
            if len(blank) - blank.rindex("\n") - 1 < self._indent:
                self.ended, self._held = True, ""
                return certain
            certain, self._held = certain + blank + rest[0], rest[1:]
        return certain + self.finish()
