"""A file as a model reads it, with line feeds only and no byte order mark, and the way back to the file's own bytes.

A line ends at a line feed; the carriage returns before it belong to the end. Any other carriage return is a character like
the others. Knows no format: an edit is whole lines and what becomes of them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from functools import cached_property
from itertools import accumulate, pairwise

import msgspec

from dovetail.serve.edit.block import BYTE_ORDER_MARK, Block, Edits, first_place
from dovetail.serve.types import LineEnds, SourceFile

_END, _LINE_FEED = re.compile(r"\r*\n"), re.compile(r"\n")


class View:
    """``file``: as a model reads it. ``given``: as it is. ``same``: whether both are the same text.

    ``end``: the line end that most lines have; ``uniform``: whether all have it, and the model writes no carriage return.

    Args:
        given: the file.
        line_ends: "verbatim": carriage returns are read and written as they are.
        marked: whether a byte order mark is read too, as a part of the first line; by default if all bytes are.
    """

    def __init__(self, given: SourceFile, line_ends: LineEnds = "own", *, marked: bool | None = None) -> None:
        self.given = given
        own = line_ends == "own"
        marked = marked if marked is not None else not own
        # A last line that ends in a carriage return alone makes the file be read as it is: `}\r` would be unique among lines
        # that end in line feeds, and not among those that end in both.
        self._own = own and not given.content.endswith("\r")
        self._skipped = 0 if marked else first_place(given.content)
        self.same = not self._skipped and not (self._own and "\r\n" in given.content)
        text = given.content[self._skipped :]
        text = _END.sub("\n", text) if self._own and not self.same else text
        self.file = given if self.same else SourceFile(given.path, text)
        kinds = Counter() if self.same else Counter(end for end in self._ends if end)
        self.end = kinds.most_common(1)[0][0] if kinds else "\n"
        self.uniform = self.same or not self._own or (len(kinds) <= 1 and "\r" not in text)

    @cached_property
    def _ends(self) -> list[str]:
        """The end of every line; empty for a last one without."""
        ends = (_END if self._own else _LINE_FEED).findall(self.given.content, self._skipped)
        return [*ends, ""] if self.given.content[self._skipped :] and not self.given.content.endswith("\n") else ends

    @cached_property
    def _lines(self) -> list[str]:
        pieces = self.file.content.split("\n")
        return pieces if pieces[-1] else pieces[:-1]

    @cached_property
    def _starts(self) -> list[int]:
        """Where each line begins in the file as it is, and where the last one ends."""
        sizes = (len(line) + len(end) for line, end in zip(self._lines, self._ends, strict=True))
        return list(accumulate(sizes, initial=self._skipped))

    @cached_property
    def byte_starts(self) -> list[int]:
        """The same in bytes."""
        content, starts = self.given.content, self._starts
        sizes = (len(content[start:end].encode()) for start, end in pairwise(starts))
        return list(accumulate(sizes, initial=len(content[: self._skipped].encode())))

    def lines(self, first: int, last: int) -> str:
        """The lines ``first:last``, counted from 0, as they are."""
        return self.given.content[self._starts[first] : self._starts[last]] if last > first else ""

    def restored(self, first: int, last: int, text: str) -> str:
        """``text``, which a model put in place of the lines ``first:last``, with the file's own line ends.

        A line that is still there, whatever end it was written with, keeps its own; a new one takes that of the line before it, or, where there is none, the
        one that most lines have.
        """
        if self.same or not self._own:
            return text
        if self.uniform:
            return _END.sub(self.end, text)
        *ended, rest = text.split("\n")
        lines = [line.rstrip("\r") for line in ended]
        kept = dict(_aligned(_unmarked(self._lines[first:last]), _unmarked(lines)))
        end = next((end for end in reversed(self._ends[:first]) if end), "") or self._following(first)
        pieces: list[str] = []
        for index, line in enumerate(lines):
            old = kept.get(index)
            end = (self._ends[first + old] if old is not None else "") or end
            pieces += [line, end]
        return "".join([*pieces, rest])

    def _following(self, first: int) -> str:
        return next((end for end in self._ends[first : first + 1] if end), self.end)

    def block(self, block: Block) -> Block:
        """``block``, of the file as it was read, as a block of the file as it is."""
        if self.same:
            return block
        first, last = block.start_line - 1, block.end_line
        replace = self.restored(first, last, block.replace)
        return msgspec.structs.replace(block, search=self.lines(first, last), replace=replace)


def views_of(
    files: Sequence[SourceFile], line_ends: LineEnds = "own", *, marked: bool | None = None
) -> dict[str, View]:
    """The views of ``files``, by path."""
    return {file.path: View(file, line_ends, marked=marked) for file in files}


def views_for(text: str, files: Sequence[SourceFile], *, verbatim: bool) -> dict[str, View]:
    """The files as a text made elsewhere quotes them: a byte order mark counts if the text holds one."""
    return views_of(files, "verbatim" if verbatim else "own", marked=BYTE_ORDER_MARK in text or "\\ufeff" in text)


def as_read(files: Sequence[SourceFile], line_ends: LineEnds = "own") -> tuple[SourceFile, ...]:
    """The files as a model reads them."""
    return tuple(View(file, line_ends).file for file in files)


def restored(edits: Edits, views: dict[str, View]) -> Edits:
    """Edits of the files as they were read, as edits of the files as they are. New files keep their line feeds."""
    return Edits(tuple(views[block.path].block(block) for block in edits.blocks), edits.operations)


def with_line_feeds(text: str) -> str:
    """A text all of whose lines end the Windows way, with line feeds; any other as it is."""
    return text.replace("\r\n", "\n") if text.count("\r\n") == text.count("\n") else text


def is_verbatim(text: str) -> bool:
    """Whether a text made elsewhere quotes line ends as they are: some, not all, of its lines end the Windows way."""
    return "\r\n" in with_line_feeds(text)


def _unmarked(lines: Sequence[str]) -> list[str]:
    return [line.lstrip(BYTE_ORDER_MARK) for line in lines]


def _aligned(old: Sequence[str], new: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Pairs of an index in ``new`` and the index of the same line in ``old``."""
    shorter = min(len(old), len(new))
    head = next((k for k in range(shorter) if old[k] != new[k]), shorter)
    tail = next((k for k in range(shorter - head) if old[-1 - k] != new[-1 - k]), shorter - head)
    yield from ((k, k) for k in range(head))
    yield from ((len(new) - k, len(old) - k) for k in range(1, tail + 1))
    middle = SequenceMatcher(None, old[head : len(old) - tail], new[head : len(new) - tail])
    for match in middle.get_matching_blocks():
        yield from ((head + match.b + k, head + match.a + k) for k in range(match.size))
