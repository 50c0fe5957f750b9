"""What is known of one file: its lines by number, stretches of unknown place, and whether that is all. Knows no tools."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, kw_only=True)
class KnownText:
    """``lines``: by number, from 1, without their line feeds. ``ended``: the last of them has a line feed for certain.

    ``loose``: stretches whose place is not known. ``whole``: the lines are the whole file. ``murky``: the conversation
    holds more of the file in a form that nobody here could read, so that what is known must not pass for all of it.
    """

    lines: Mapping[int, str] = field(default_factory=dict)
    ended: bool = False
    loose: tuple[str, ...] = ()
    whole: bool = False
    murky: bool = False

    @classmethod
    def of(cls, content: str) -> KnownText:
        """The whole file."""
        return cls(whole=True).shown(1, content, exact=True) if content else cls(whole=True)

    @property
    def pieces(self) -> tuple[str, ...]:
        """What is known, each piece consecutive text of the file; one piece where it is the whole file."""
        runs = tuple(text for _, text in self.runs())
        return (runs or ("",)) if self.whole else (*runs, *self.loose)

    def runs(self) -> Iterator[tuple[int, str]]:
        """The numbered stretches: the number of the first line, and the text."""
        numbers = sorted(self.lines)
        begin = 0
        for index in range(1, len(numbers) + 1):
            if index < len(numbers) and numbers[index] == numbers[index - 1] + 1:
                continue
            text = "\n".join(self.lines[number] for number in numbers[begin:index])
            last = index == len(numbers)
            yield numbers[begin], text + ("\n" if not last or self.ended else "")
            begin = index

    def shown(self, first: int, text: str, *, exact: bool) -> KnownText:
        """With the lines from ``first`` on as ``text`` shows them. ``exact``: a missing last line feed is missing in the file."""
        closed = text.endswith("\n")
        shown = (text[:-1] if closed else text).split("\n")
        lines = {**self.lines, **{first + index: line for index, line in enumerate(shown)}}
        last = first + len(shown) - 1 == max(lines)
        return replace(self, lines=lines, ended=closed if last and (exact or closed) else self.ended and not last)

    def also(self, text: str) -> KnownText:
        """With a stretch of unknown place, unless it is known already."""
        return self if any(text in piece for piece in self.pieces) else replace(self, loose=(*self.loose, text))

    def replaced(self, old: str, new: str, *, everywhere: bool) -> KnownText | None:
        """After an edit that the client has made; None: that edit shows that what was known is not the file."""
        if not old:
            return None
        runs = list(self.runs())
        if not any(old in text for text in (*(text for _, text in runs), *self.loose)):
            return None if self.whole else self._unplaced()
        after = KnownText(whole=self.whole, murky=self.murky)
        shift, done = 0, False
        for first, text in runs:
            changed = text
            if old in text and (everywhere or not done):
                changed = text.replace(old, new) if everywhere else text.replace(old, new, 1)
                done = True
            if changed:
                after = after.shown(first + shift, changed, exact=self.whole)
            shift += changed.count("\n") - text.count("\n")
        loose = tuple(text.replace(old, new) if everywhere or not done else text for text in self.loose)
        return replace(after, loose=tuple(text for text in loose if text))

    def _unplaced(self) -> KnownText:
        """The same text without line numbers, which an edit elsewhere may have shifted."""
        return KnownText(loose=self.pieces, murky=self.murky)
