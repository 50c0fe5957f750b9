"""Gaps for fill-in-the-middle: where a text is cut. Knows nothing of tokens."""

from __future__ import annotations

import random
import re

from dovetail.models.embedded.sources import Shelf

Parts = tuple[str, str, str]


def stretch(shelf: Shelf, rng: random.Random, characters: int) -> tuple[str, str]:
    """A stretch of a real file from a line start, and the file's path."""
    source = shelf.draw(rng)
    start = rng.randrange(max(1, len(source.text) - characters // 2))
    start = source.text.rfind("\n", 0, start) + 1
    return source.text[start : start + characters], source.path


def fill_parts(text: str, rng: random.Random, *, one_line: bool) -> Parts | None:
    """Prefix, middle and suffix of a text; None where the line that was drawn has nothing to ask for.

    ``one_line``: a whole line after its indentation, or the rest of a line from anywhere in it; else also words within a line,
    a line with its end, and some lines.
    """
    lines = text.splitlines(keepends=True)
    if len(lines) < 4:
        return None
    first = rng.randrange(1, len(lines) - 1)
    line = lines[first]
    if not line.strip():
        return None
    before, after = "".join(lines[:first]), "".join(lines[first + 1 :])
    indent = len(line) - len(line.lstrip())
    if one_line:
        cut = indent if rng.random() < 0.5 else rng.randint(indent, max(indent, len(line) - 2))
        return before + line[:cut], line[cut:].rstrip("\n"), "\n" + after
    roll = rng.random()
    if roll < 0.42:
        return before + line[:indent], line[indent:].rstrip("\n"), "\n" + after
    if roll < 0.78:
        cut = rng.randint(indent, max(indent, len(line) - 2))
        return before + line[:cut], line[cut:].rstrip("\n"), "\n" + after
    if roll < 0.86:
        return _inside(before, line, after, rng)
    if roll < 0.91:
        return before, line, after
    last = min(len(lines), first + rng.randint(2, 4))
    return before, "".join(lines[first:last]), "".join(lines[last:])


def _inside(before: str, line: str, after: str, rng: random.Random) -> Parts | None:
    """A gap within a line: some of its words."""
    words = [m.span() for m in re.finditer(r"\w+|[^\w\s]+", line)]
    if len(words) < 3:
        return None
    first = rng.randrange(1, len(words))
    start, end = words[first][0], words[min(len(words) - 1, first + rng.randint(0, 4))][1]
    return before + line[:start], line[start:end], line[end:] + after
