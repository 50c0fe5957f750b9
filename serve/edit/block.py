"""A finished block, where it stands in its file, and what can be wrong with one. Knows no markers and no constraint."""

from __future__ import annotations

import difflib
from typing import Literal, NamedTuple

import msgspec

from dovetail.serve.errors import DovetailError
from dovetail.serve.types import FileOperation

_LINES_LOOKED_AT, _CANDIDATES = 20_000, 8
BYTE_ORDER_MARK = "\ufeff"

Reason = Literal[
    "malformed",
    "unknown_path",
    "not_found",
    "ambiguous",
    "not_lines",
    "overlapping",
    "syntax",
    "protected",
    "path_taken",
    "invalid_path",
    "whole_file",
]


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """One edit: ``search``, exact text of the file, becomes ``replace``.

    ``start_line`` to ``end_line``: the replaced lines, counted from 1, both included; (1, 0) in an empty file. At the end
    of a file without a final line feed neither ``search`` nor ``replace`` has one. ``anchored``: the lines say where, and
    ``search`` may be found elsewhere too, or be empty (an insertion before ``start_line``, with ``end_line`` one less).
    """

    path: str
    search: str
    replace: str
    start_line: int
    end_line: int
    anchored: bool = False


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """What happens to a whole file: it is created with ``content``, deleted, or renamed to ``to``."""

    kind: FileOperation
    path: str
    content: str = ""
    to: str = ""


class Edits(msgspec.Struct, frozen=True):
    """All that an answer asks for. A renamed file's blocks name its old path."""

    blocks: tuple[Block, ...] = ()
    operations: tuple[Operation, ...] = ()


class Mismatch(msgspec.Struct, frozen=True, kw_only=True):
    """Why quoted lines are not where they should be, for whoever has to send them again.

    ``expected``: the lines looked for. ``matched``: how many of them, from the first, stand at ``start_line`` of the file.
    ``nearest``: the lines of the file there, from ``start_line`` on, counted from 1; empty if nothing is alike.
    """

    expected: tuple[str, ...]
    nearest: tuple[str, ...] = ()
    start_line: int = 0
    matched: int = 0


class EditError(DovetailError):
    """A block that cannot be applied; nothing has been.

    Args:
        block: its number, from 0.
        path: the file it names.
        reason: which guarantee it breaks; also the error's code, after ``edit_``.
        detail: what is wrong and what to send instead.
        mismatch: more about text that is not there.
    """

    default_status = 422

    def __init__(self, block: int, path: str, reason: Reason, detail: str, *, mismatch: Mismatch | None = None) -> None:
        message = f"Block {block + 1} ({path}): {detail} No block was applied."
        super().__init__(message, code=f"edit_{reason}", param=f"blocks[{block}]")
        self.block = block
        self.path = path
        self.reason: Reason = reason
        self.detail = detail
        self.mismatch = mismatch


class Place(NamedTuple):
    """Characters ``start:end`` of a content. ``imagined``: the quotation has a last line feed that the file lacks."""

    start: int
    end: int
    imagined: bool


def locate(block: int, path: str, content: str, lines: str) -> Place:
    """Where ``lines`` (each with its line feed) stands in ``content``: verbatim, line-aligned, once.

    Raises:
        EditError: not_found, ambiguous or not_lines.
    """
    if not content and not lines:
        return Place(0, 0, False)
    if not lines:
        raise EditError(block, path, "not_found", "SEARCH is empty, but the file is not; quote the lines to replace.")
    imagined = lines not in content and not content.endswith("\n") and content.endswith(lines[:-1])
    start, end = locate_exact(block, path, content, lines[:-1] if imagined else lines)
    return Place(start, end, imagined)


def locate_exact(block: int, path: str, content: str, text: str) -> tuple[int, int]:
    """Where ``text`` stands in ``content``: verbatim, line-aligned, once.

    Raises:
        EditError: not_found, ambiguous or not_lines.
    """
    start = content.find(text) if text else -1
    if start < 0:
        raise not_found(block, path, content, text)
    if content.find(text, start + 1) >= 0:
        raise EditError(block, path, "ambiguous", "SEARCH is there more than once; quote more lines around it.")
    end = start + len(text)
    if (start > first_place(content) and content[start - 1] != "\n") or (
        end < len(content) and content[end - 1] != "\n"
    ):
        raise EditError(block, path, "not_lines", "SEARCH must be whole lines.")
    return start, end


def first_place(content: str) -> int:
    """Where the first line begins: a byte order mark is no part of it, but may be quoted with it."""
    return len(content) - len(content.lstrip(BYTE_ORDER_MARK))


def line_span(content: str, start: int, end: int) -> tuple[int, int]:
    """The first and last line, from 1, of the whole lines ``start:end``."""
    first = content.count("\n", 0, start) + 1
    return first, first - 1 + len(content[start:end].removesuffix("\n").split("\n")) if end > start else first - 1


def block_at(path: str, content: str, start: int, end: int, replace: str, *, imagined: bool = False) -> Block:
    """The block that replaces the whole lines ``start:end``. ``imagined``: ``replace`` has a line feed that is not meant."""
    search = content[start:end]
    first, last = line_span(content, start, end)
    if start == len(content) and content and not content.endswith("\n"):
        first, last = first + 1, last + 1
    unique = bool(search or not content) and content.find(search) == start and content.find(search, start + 1) < 0
    return Block(
        path=path,
        search=search,
        replace=replace.removesuffix("\n") if imagined else replace,
        start_line=first,
        end_line=last,
        anchored=not unique and bool(content),
    )


def not_found(block: int, path: str, content: str, text: str, first: int = 0) -> EditError:
    """The error for ``text``, which is not among the lines of ``content`` from index ``first`` on."""
    mismatch = nearest_lines(content, text, first)
    detail = "SEARCH is not in the file."
    if mismatch.nearest:
        wanted = next((line for line in mismatch.expected if line.strip()), "")
        line = next(iter(difflib.get_close_matches(wanted, mismatch.nearest, n=1, cutoff=0.0)), "")
        number = mismatch.start_line + (mismatch.nearest.index(line) if line in mismatch.nearest else 0)
        detail += f" The nearest to its first line is line {number}: {line!r}."
    return EditError(block, path, "not_found", detail, mismatch=mismatch)


def nearest_lines(content: str, text: str, first: int = 0) -> Mismatch:
    """The lines of ``content`` that are most like ``text``, and how far they agree.

    Every place where a line is like the first visible line of ``text`` is a candidate; the one whose lines agree best wins.
    """
    expected = text.removesuffix("\n").split("\n")
    lines = content.split("\n")[:_LINES_LOOKED_AT]
    lead = next((index for index, line in enumerate(expected) if line.strip()), 0)
    alike = (
        difflib.get_close_matches(expected[lead], lines[first:], n=_CANDIDATES, cutoff=0.6) if expected[lead] else []
    )
    wanted = set(alike)
    best, score = -1, 0.0
    for index, line in enumerate(lines):
        if index < first or line not in wanted:
            continue
        start = max(0, index - lead)
        window = lines[start : start + len(expected)]
        ratio = difflib.SequenceMatcher(None, "\n".join(window), "\n".join(expected), autojunk=False).quick_ratio()
        if ratio > score:
            best, score = start, ratio
    if best < 0:
        return Mismatch(expected=tuple(expected))
    window = lines[best : best + len(expected)]
    matched = next((k for k, (a, b) in enumerate(zip(window, expected, strict=False)) if a != b), len(window))
    return Mismatch(expected=tuple(expected), nearest=tuple(window), start_line=best + 1, matched=matched)
