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


def _anchored(edit: LineEdit, lines: Sequence[str]) -> tuple[int, int]:
    """The lines to quote at least: those that change, or for a pure insertion one beside it."""
    if edit.start < edit.end:
        return edit.start, edit.end
    place = edit.start
    if place > 0 and (lines[place - 1].strip() or place == len(lines)):
        return place - 1, place
    return place, place + 1


def _joined(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Merge spans that touch or overlap."""
    result: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if result and start <= result[-1][1]:
            start, end = result[-1][0], max(result.pop()[1], end)
        result.append((start, end))
    return result


def _unique(span: tuple[int, int], lines: Sequence[str], text: str) -> tuple[int, int]:
    """Extend downwards, then upwards, until the quoted lines occur once."""
    start, end = span
    while occurrences(text, "".join(lines[start:end])) != 1:
        start, end = (start, end + 1) if end < len(lines) else (start - 1, end)
    return start, end


def make_blocks(path: str, text: str, edits: Sequence[LineEdit]) -> list[Block]:
    """The blocks that make these edits: least context, unique, in order, one per region."""
    lines = text.splitlines(keepends=True)
    spans = _joined([_anchored(edit, lines) for edit in edits])
    # A merged span holds a unique one, so it is unique too.
    spans = _joined([_unique(span, lines, text) for span in spans])
    blocks = []
    for start, end in spans:
        # An edit lies in one span only: had two touched at its place, they would be one.
        inside = [LineEdit(e.start - start, e.end - start, e.lines) for e in edits if start <= e.start and e.end <= end]
        search = "".join(lines[start:end])
        blocks.append(Block(path, search, apply_lines(search, inside)))
    return blocks


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
