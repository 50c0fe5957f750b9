"""Search/replace blocks: from line edits to the answer text, and back onto a file.

The SEARCH rule is fixed so that it can be learnt: the changed lines, then following lines until
the text occurs once in the file, and only at the end of the file preceding lines. An insertion
quotes the line before it, or the one after it where that line is blank. Knows nothing of instructions or models.
"""

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from dovetail.models.embedded.tokenizer import DIVIDER_MARK, REPLACE_MARK, SEARCH_MARK


class BlockError(ValueError):
    """An answer that is not well-formed or does not apply."""


@dataclass(frozen=True)
class LineEdit:
    """Replace lines start..end (0-based, end exclusive) of the original by `lines`."""

    start: int
    end: int
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Block:
    """One search/replace block as it stands in an answer."""

    path: str
    search: str
    replace: str

    def render(self) -> str:
        return f"{self.path}\n{SEARCH_MARK}{self.search}{DIVIDER_MARK}{self.replace}{REPLACE_MARK}"


_BLOCK: Final = re.compile(
    rf"(?P<path>[^\n]+)\n{SEARCH_MARK}(?P<search>(?:.*\n)*?){DIVIDER_MARK}(?P<replace>(?:.*\n)*?){REPLACE_MARK}"
)


def occurrences(text: str, part: str) -> int:
    """How often `part` occurs in `text`, overlaps counted."""
    count = position = 0
    while (position := text.find(part, position)) >= 0:
        count, position = count + 1, position + 1
    return count


def _anchored(edit: LineEdit, lines: Sequence[str]) -> LineEdit:
    """Give a pure insertion a line to quote."""
    if edit.start < edit.end:
        return edit
    place = edit.start
    if place > 0 and (lines[place - 1].strip() or place == len(lines)):
        return LineEdit(place - 1, place, (lines[place - 1], *edit.lines))
    return LineEdit(place, place + 1, (*edit.lines, lines[place]))


def _unique(edit: LineEdit, lines: Sequence[str], text: str) -> LineEdit:
    """Extend downwards, then upwards, until the quoted lines occur once."""
    start, end, new = edit.start, edit.end, edit.lines
    while occurrences(text, "".join(lines[start:end])) != 1:
        if end < len(lines):
            new, end = (*new, lines[end]), end + 1
        else:
            start -= 1
            new = (lines[start], *new)
    return LineEdit(start, end, new)


def _joined(edits: Sequence[LineEdit], lines: Sequence[str]) -> list[LineEdit]:
    """Merge edits that touch or overlap in quoted context."""
    result: list[LineEdit] = []
    for edit in edits:
        if result and edit.start < result[-1].end:
            previous = result.pop()
            shared = previous.end - edit.start
            if tuple(previous.lines[-shared:]) == tuple(lines[edit.start : previous.end]):
                edit = LineEdit(previous.start, max(edit.end, previous.end), (*previous.lines[:-shared], *edit.lines))
            else:
                edit = LineEdit(previous.start, edit.end, (*previous.lines, *edit.lines[shared:]))
        elif result and edit.start == result[-1].end:
            previous = result.pop()
            edit = LineEdit(previous.start, edit.end, (*previous.lines, *edit.lines))
        result.append(edit)
    return result


def make_blocks(path: str, text: str, edits: Sequence[LineEdit]) -> list[Block]:
    """The blocks that make these edits: least context, unique, in order, one per region."""
    lines = text.splitlines(keepends=True)
    regions = _joined(sorted((_anchored(e, lines) for e in edits), key=lambda e: e.start), lines)
    regions = _joined([_unique(e, lines, text) for e in regions], lines)
    return [Block(path, "".join(lines[e.start : e.end]), "".join(e.lines)) for e in regions]


def apply_lines(text: str, edits: Sequence[LineEdit]) -> str:
    """The text after the edits, computed without going through blocks."""
    lines = text.splitlines(keepends=True)
    for edit in sorted(edits, key=lambda e: e.start, reverse=True):
        lines[edit.start : edit.end] = edit.lines
    return "".join(lines)


def parse_answer(answer: str) -> list[Block]:
    """The blocks of an answer. Anything that is not a block is an error."""
    blocks: list[Block] = []
    position = 0
    while position < len(answer):
        match = _BLOCK.match(answer, position)
        if match is None:
            raise BlockError(f"not a block: {answer[position : position + 80]!r}")
        blocks.append(Block(match["path"], match["search"], match["replace"]))
        position = match.end()
    return blocks


def apply_answer(files: dict[str, str], answer: str) -> dict[str, str]:
    """Apply an answer to files (path to content). SEARCH must name whole lines that occur once."""
    result = dict(files)
    spans: dict[str, list[tuple[int, int, str]]] = {}
    for block in parse_answer(answer):
        text = files.get(block.path)
        if text is None:
            raise BlockError(f"no such file: {block.path}")
        if occurrences(text, block.search) != 1 or not block.search:
            raise BlockError(f"SEARCH occurs {occurrences(text, block.search)} times: {block.search!r}")
        start = text.index(block.search)
        if start and text[start - 1] != "\n":
            raise BlockError(f"SEARCH does not start at a line: {block.search!r}")
        spans.setdefault(block.path, []).append((start, start + len(block.search), block.replace))
    for path, places in spans.items():
        if any(a[1] > b[0] for a, b in itertools.pairwise(places)):
            raise BlockError(f"blocks overlap or are out of order in {path}")
        for start, end, replace in reversed(places):
            result[path] = result[path][:start] + replace + result[path][end:]
    return result
