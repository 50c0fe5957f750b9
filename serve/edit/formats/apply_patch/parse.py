"""Codex's ``apply_patch`` text, read strictly: Begin, files, End. Looks at the files to find the hunks' places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from dovetail.serve.edit.block import Block, EditError, Edits, Operation
from dovetail.serve.edit.formats.hunks.resolve import Hunk, resolve
from dovetail.serve.types import SourceFile

BEGIN, END = "*** Begin Patch", "*** End Patch"
ADD, DELETE, UPDATE, MOVE = "*** Add File: ", "*** Delete File: ", "*** Update File: ", "*** Move to: "
END_OF_FILE = "*** End of File"


@dataclass
class _Section:
    kind: str
    path: str
    to: str = ""
    hunks: list[Hunk] = field(default_factory=list)


def completed_patch(text: str) -> str:
    """A patch that the budget ended behind a hunk, with its end marker."""
    if not text or text.rstrip("\n").endswith("\n" + END):
        return text
    return text + ("" if text.endswith("\n") else "\n") + END + "\n"


def patch_within(text: str) -> str:
    """The patch in a text that has more around it: a heredoc, a fence, prose."""
    lines = text.split("\n")
    stripped = [line.strip() for line in lines]
    if BEGIN not in stripped:
        return text
    begin = stripped.index(BEGIN)
    end = stripped.index(END, begin) + 1 if END in stripped[begin:] else len(lines)
    return "\n".join([BEGIN, *lines[begin + 1 : end - 1], stripped[end - 1]]) + "\n"


def parse_patch(text: str, files: Sequence[SourceFile]) -> Edits:
    """The edits of a patch over ``files``; an empty text has none.

    Raises:
        EditError: malformed, unknown_path, path_taken or not_found.
    """
    if not text.strip():
        return Edits()
    contents = {file.path: file.content for file in files}
    blocks: list[Block] = []
    operations: list[Operation] = []
    for section in _sections(text):
        index = len(blocks)
        if section.kind == ADD:
            content = "".join(line + "\n" for line in section.hunks[0].new)
            operations.append(Operation(kind="create", path=section.path, content=content))
            continue
        if section.path not in contents:
            raise EditError(index, section.path, "unknown_path", f"{section.path!r} is none of the given files.")
        if section.kind == DELETE:
            operations.append(Operation(kind="delete", path=section.path))
            continue
        blocks += resolve(section.hunks, section.path, contents[section.path], index, ends_file=True)
        if section.to:
            operations.append(Operation(kind="rename", path=section.path, to=section.to))
    return Edits(tuple(blocks), tuple(operations))


def _sections(text: str) -> list[_Section]:
    lines = text.rstrip("\n").split("\n")
    if lines[0] != BEGIN:
        raise EditError(0, "?", "malformed", f"the first line must be {BEGIN!r}.")
    if lines[-1] != END:
        raise EditError(0, "?", "malformed", f"the last line must be {END!r}.")
    sections: list[_Section] = []
    for number, line in enumerate(lines[1:-1], 2):
        kind = next((each for each in (ADD, DELETE, UPDATE) if line.startswith(each)), None)
        if kind is not None:
            sections.append(_Section(kind, line.removeprefix(kind)))
            if kind == ADD:
                sections[-1].hunks.append(Hunk())
        elif not sections:
            raise EditError(0, "?", "malformed", f"line {number} belongs to no file: {line!r}.")
        else:
            _read(line, number, sections[-1])
    for section in sections:
        if section.kind == UPDATE and not all(hunk.lines for hunk in section.hunks or [Hunk()]):
            raise EditError(0, section.path, "malformed", "an update needs hunks, and a hunk needs lines.")
    return sections


def _read(line: str, number: int, section: _Section) -> None:
    """One line of a section's body."""
    malformed = EditError(0, section.path, "malformed", f"line {number} cannot stand there: {line!r}.")
    if section.kind == ADD:
        if not line.startswith("+"):
            raise malformed
        section.hunks[0].lines.append(("+", line[1:]))
    elif section.kind == DELETE:
        raise malformed
    elif line.startswith(MOVE) and not section.hunks and not section.to:
        section.to = line.removeprefix(MOVE)
    elif line == "@@" or line.startswith("@@ "):
        if not section.hunks or section.hunks[-1].lines or not line[3:]:
            section.hunks.append(Hunk())
        section.hunks[-1].anchors += [line[3:]] if line[3:] else []
    elif line == END_OF_FILE and section.hunks and section.hunks[-1].lines:
        section.hunks[-1].at_end = True
    elif line[:1] in (" ", "-", "+", ""):
        if not section.hunks:
            section.hunks.append(Hunk())
        if section.hunks[-1].at_end:
            raise malformed
        section.hunks[-1].lines.append((line[:1] or " ", line[1:]))
    else:
        raise malformed
