"""Hunks as read, and where they stand in their file. Applies nothing and knows no format's words.

A hunk without line numbers stands where Codex puts it: hunks come in the file's order, each behind the one before it and
behind its anchor lines, at the first place where its old lines stand. Exact: no blank is forgiven, but around an anchor line, which
is not replaced.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from dovetail.serve.edit.block import Block, EditError, block_at, not_found


@dataclass
class Hunk:
    """``anchors``: lines one behind the other, behind which the hunk lies. ``lines``: (mark, text without line feed). ``numbers``: old start, old count, new start, new count of a diff's head.

    ``unended``: indices of lines that a diff says have no line feed.
    """

    anchors: list[str] = field(default_factory=list)
    lines: list[tuple[str, str]] = field(default_factory=list)
    at_end: bool = False
    numbers: tuple[int, int, int, int] | None = None
    unended: set[int] = field(default_factory=set)

    @property
    def old(self) -> list[str]:
        """The quoted lines."""
        return [text for mark, text in self.lines if mark != "+"]

    @property
    def new(self) -> list[str]:
        """What the quoted lines become."""
        return [text for mark, text in self.lines if mark != "-"]


def resolve(hunks: Sequence[Hunk], path: str, content: str, first: int, *, ends_file: bool) -> list[Block]:
    """The blocks of one file's hunks; ``first``: the number of the first block in the answer, for errors.

    ``ends_file``: the edited file gets the final line feed that it lacks, as Codex does it.

    Raises:
        EditError: not_found, naming the block, or malformed.
    """
    pieces = content.split("\n")
    unended = bool(pieces[-1])
    lines = pieces if unended else pieces[:-1]
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    blocks: list[Block] = []
    position = 0
    for hunk in hunks:
        index = first + len(blocks)
        for anchor in hunk.anchors:
            position = _line_of(index, path, content, lines, anchor, position) + 1
        if not hunk.old:
            place = len(lines)
        else:
            place = _place(index, path, content, lines, hunk, position)
        stop = place + len(hunk.old)
        position = max(position, stop)
        new = "".join(line + "\n" for line in hunk.new)
        touches_end = unended and stop == len(lines)
        start, end = starts[place], min(starts[stop], len(content))
        if touches_end and not hunk.old:
            start = end = len(content)
            new = "\n" + new if ends_file else "\n" + new.removesuffix("\n")
        imagined = touches_end and not ends_file and bool(hunk.old)
        blocks.append(block_at(path, content, start, end, new, imagined=imagined))
    touched = any(block.end_line == len(lines) or block.start_line > len(lines) for block in blocks)
    if ends_file and unended and blocks and not touched:
        blocks.append(block_at(path, content, len(content), len(content), "\n"))
    return blocks


def _line_of(index: int, path: str, content: str, lines: list[str], anchor: str, position: int) -> int:
    """The first line from ``position`` on that reads so; if none does, the first that does but for blanks around it."""
    for wanted, read in ((anchor, str), (anchor.strip(), str.strip)):
        for number in range(position, len(lines)):
            if read(lines[number]) == wanted:
                return number
    raise not_found(index, path, content, anchor, position)


def _place(index: int, path: str, content: str, lines: list[str], hunk: Hunk, position: int) -> int:
    old, count = hunk.old, len(hunk.old)
    if hunk.at_end:
        position = max(position, len(lines) - count)
    for place in range(position, len(lines) - count + 1):
        if lines[place] == old[0] and lines[place : place + count] == old:
            return place
    if any(lines[place : place + count] == old for place in range(len(lines) - count + 1)):
        detail = "its old lines are in the file, but not behind the hunk before it; send hunks in the file's order."
        raise EditError(index, path, "not_found", detail)
    raise not_found(index, path, content, "\n".join(old) + "\n")
