"""Known lines prepared for patches: which of them a line of a patch may be, while it is written. Knows no patch format."""

from __future__ import annotations

from dataclasses import dataclass

from dovetail.serve.constrain.base import Int32Array
from dovetail.serve.edit.carrier.shown import json_inside


class ShownLines:
    """The known lines of a file as a patch writes them: ``texts`` with their line feed, as ``feed`` spells it.

    Args:
        pieces: consecutive texts of the file, in their order where it is known.
        whole: they are all of it, so that the order is known.
        in_json: the patch is written inside a JSON string.
        closed: first and last line, from 1, of what no patch quotes; only where ``whole``.
    """

    def __init__(
        self, pieces: tuple[str, ...], *, whole: bool, in_json: bool, closed: tuple[tuple[int, int], ...] = ()
    ) -> None:
        self.whole = whole
        self.feed = b"\\n" if in_json else b"\n"
        self.masks: dict[int, Int32Array] = {}
        self.texts: list[bytes] = []
        self.anchors: list[bytes] = []
        self._begins: set[int] = set()
        self._closed = {line for first, last in closed for line in range(first - 1, last)}
        for piece in pieces:
            self._begins.add(len(self.texts))
            for line in piece.removesuffix("\n").split("\n") if piece else ():
                self.texts.append(self._written(line, in_json))
                self.anchors.append(self._written(line.strip(), in_json))

    def _written(self, line: str, in_json: bool) -> bytes:
        return (json_inside(line) if in_json else line.encode(errors="replace")) + self.feed

    def starting(self, first: int) -> tuple[int, ...]:
        """The lines at which a hunk may begin, where the one before it has ended before ``first``."""
        lines = range(first if self.whole else 0, len(self.texts))
        return tuple(line for line in lines if line not in self._closed) if self._closed else tuple(lines)

    def after(self, lines: tuple[int, ...]) -> tuple[int, ...]:
        """The lines that come behind one of ``lines``."""
        behind = (line + 1 for line in lines if line + 1 < len(self.texts) and line + 1 not in self._begins)
        return tuple(line for line in behind if line not in self._closed)


@dataclass(frozen=True, eq=False)
class HeldLine:
    """A line that is one of ``lines``, of which ``depth`` bytes have been written. ``anchor``: without its blanks will do."""

    shown: ShownLines
    lines: tuple[int, ...]
    trimmed: tuple[int, ...] = ()
    depth: int = 0

    def feed(self, data: bytes) -> HeldLine | None:
        """After ``data``, which goes on within the line; None if none of them does."""
        depth, texts, anchors = self.depth, self.shown.texts, self.shown.anchors
        lines = tuple(line for line in self.lines if texts[line].startswith(data, depth))
        trimmed = tuple(line for line in self.trimmed if anchors[line].startswith(data, depth))
        return HeldLine(self.shown, lines, trimmed, depth + len(data)) if lines or trimmed else None

    @property
    def rests(self) -> set[bytes]:
        """What may come next, up to the line's end."""
        texts, anchors = self.shown.texts, self.shown.anchors
        found = {texts[line][self.depth :] for line in self.lines}
        return found | {anchors[line][self.depth :] for line in self.trimmed}

    @property
    def matched(self) -> tuple[int, ...]:
        """The lines that it is, once it is complete; empty before."""
        texts, anchors = self.shown.texts, self.shown.anchors
        return tuple(
            sorted(
                {line for line in self.lines if len(texts[line]) == self.depth}
                | {line for line in self.trimmed if len(anchors[line]) == self.depth}
            )
        )
