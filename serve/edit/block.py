"""A finished block, where it stands in its file, and what can be wrong with one. Knows no markers and no constraint."""

from __future__ import annotations

import difflib
from typing import Literal, NamedTuple

import msgspec

from dovetail.serve.errors import DovetailError

Reason = Literal["malformed", "unknown_path", "not_found", "ambiguous", "not_lines", "overlapping", "syntax"]


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """One edit: ``search``, exact text of the file, becomes ``replace``.

    ``start_line`` to ``end_line``: the replaced lines, counted from 1, both included; (1, 0) in an empty file. At the end
    of a file without a final line feed neither ``search`` nor ``replace`` has one.
    """

    path: str
    search: str
    replace: str
    start_line: int
    end_line: int


class EditError(DovetailError):
    """A block that cannot be applied; nothing has been.

    Args:
        block: its number, from 0.
        path: the file it names.
        reason: which guarantee it breaks; also the error's code, after ``edit_``.
        detail: what is wrong and what to send instead.
    """

    default_status = 422

    def __init__(self, block: int, path: str, reason: Reason, detail: str) -> None:
        message = f"Block {block + 1} ({path}): {detail} No block was applied."
        super().__init__(message, code=f"edit_{reason}", param=f"blocks[{block}]")
        self.block = block
        self.path = path
        self.reason: Reason = reason


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
        raise EditError(block, path, "not_found", f"SEARCH is not in the file.{_nearest(content, text)}")
    if content.find(text, start + 1) >= 0:
        raise EditError(block, path, "ambiguous", "SEARCH is there more than once; quote more lines around it.")
    end = start + len(text)
    if (start and content[start - 1] != "\n") or (end < len(content) and content[end - 1] != "\n"):
        raise EditError(block, path, "not_lines", "SEARCH must be whole lines.")
    return start, end


def line_span(content: str, start: int, end: int) -> tuple[int, int]:
    """The first and last line, from 1, of the whole lines ``start:end``."""
    first = content.count("\n", 0, start) + 1
    return first, first - 1 + len(content[start:end].removesuffix("\n").split("\n")) if end > start else first - 1


def _nearest(content: str, text: str) -> str:
    wanted = next((line for line in text.split("\n") if line.strip()), "")
    found = difflib.get_close_matches(wanted, content.split("\n")[:20_000], n=1, cutoff=0.6) if wanted else []
    if not found:
        return ""
    return f" The nearest to its first line is line {content.split(chr(10)).index(found[0]) + 1}: {found[0]!r}."
