"""Whole files, each behind its path and in a fence. Reads our own strict form and, on request, what models make of it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from dovetail.serve.edit.block import Block, EditError, Edits, Operation, first_place, line_span
from dovetail.serve.edit.formats.whole_file.fence import choose_fence
from dovetail.serve.types import SourceFile

_PATH_DECORATION = " \t*`#:"


def parse_files(text: str, files: Sequence[SourceFile], *, lenient: bool = False) -> Edits:
    """A block per given file, which replaces all of it, and a file to create per other path.

    ``lenient``: the fence may name a language, and be any that is longer than those within; text around is passed over;
    the path is the last line before a fence.

    Raises:
        EditError: malformed or overlapping.
    """
    contents = {file.path: file.content for file in files}
    blocks: list[Block] = []
    operations: list[Operation] = []
    seen: set[str] = set()
    for path, content in _lenient_sections(text) if lenient else _sections(text, choose_fence(files)):
        if path in seen:
            raise EditError(len(blocks), path, "overlapping", "the file is there twice.")
        seen.add(path)
        if path not in contents:
            operations.append(Operation(kind="create", path=path, content=content))
            continue
        old = contents[path]
        new = content if old.endswith("\n") or len(old) == first_place(old) else content.removesuffix("\n")
        first, last = line_span(old, 0, len(old))
        blocks.append(Block(path=path, search=old, replace=new, start_line=first, end_line=last))
    return Edits(tuple(blocks), tuple(operations))


def _sections(text: str, fence: str) -> list[tuple[str, str]]:
    lines = text.split("\n")
    if lines.pop():
        raise EditError(0, "?", "malformed", "the text ends inside a line.")
    found: list[tuple[str, str]] = []
    at = 0
    while at < len(lines):
        path = lines[at]
        if at + 1 >= len(lines) or lines[at + 1] != fence:
            raise EditError(len(found), path, "malformed", f"the line behind the path must be {fence!r}.")
        if fence not in lines[at + 2 :]:
            raise EditError(len(found), path, "malformed", "the text ends inside the file.")
        end = lines.index(fence, at + 2)
        found.append((path, "".join(line + "\n" for line in lines[at + 2 : end])))
        at = end + 1
    return found


def _lenient_sections(text: str) -> list[tuple[str, str]]:
    lines = text.split("\n")
    found: list[tuple[str, str]] = []
    path, at = "", 0
    while at < len(lines):
        fence = re.match(r"(`{3,})[^`]*$", lines[at])
        if fence is None:
            path = lines[at].strip(_PATH_DECORATION) or path
            at += 1
            continue
        closing = [k for k in range(at + 1, len(lines)) if lines[k].rstrip() == fence[1]]
        if not path or not closing:
            raise EditError(
                len(found), path or "?", "malformed", "a file needs its path, a fence, its content, a fence."
            )
        found.append((path, "".join(line + "\n" for line in lines[at + 1 : closing[0]])))
        path, at = "", closing[0] + 1
    return found
