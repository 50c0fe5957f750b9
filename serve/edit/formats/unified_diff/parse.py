"""Unified diffs, with line numbers as git writes them or without. Looks at the files to find the hunks' places.

With numbers, a hunk stands at its line, and its counts have to be right. Without (``@@ @@``, ``@@ ... @@``), it stands
where its old lines are, behind the hunk before it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from dovetail.serve.edit.block import Block, EditError, Edits, Operation, block_at, not_found
from dovetail.serve.edit.formats.hunks.resolve import Hunk, resolve
from dovetail.serve.types import SourceFile

_NUMBERS = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_GIT = re.compile(r"diff --git (.*)$")
_EXTENDED = (
    "index ",
    "new file mode",
    "deleted file mode",
    "old mode",
    "new mode",
    "similarity index",
    "dissimilarity",
)
_NO_LINE_FEED = "\\ No newline at end of file"
_UNQUOTED = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\"}


@dataclass
class _Section:
    """``old`` and ``new``: the paths; None for a file that is not there before, or after."""

    old: str | None
    new: str | None
    hunks: list[Hunk] = field(default_factory=list)


def completed_diff(text: str) -> str:
    """A fenced diff that the budget ended behind a hunk, with its closing fence."""
    if not text or text.rstrip("\n").endswith("\n```"):
        return text
    return text + ("" if text.endswith("\n") else "\n") + "```\n"


def parse_diff(text: str, files: Sequence[SourceFile], *, lenient: bool = False) -> Edits:
    """The edits of a diff over ``files``, fenced or not; an empty text has none.

    ``lenient``: in a hunk without numbers, a file's head needs no ``diff --git`` line to end it; text around the diff is
    passed over.

    Raises:
        EditError: malformed, unknown_path or not_found.
    """
    contents = {file.path: file.content for file in files}
    blocks: list[Block] = []
    operations: list[Operation] = []
    for section in _Reader(text, lenient=lenient).sections():
        index = len(blocks)
        if section.old is None:
            assert section.new is not None
            operations.append(Operation(kind="create", path=section.new, content=_created(section)))
            continue
        if section.old not in contents:
            raise EditError(index, section.old, "unknown_path", f"{section.old!r} is none of the given files.")
        found = _blocks(section.old, contents[section.old], section.hunks, index)
        if section.new is None:
            if found and "".join(block.search for block in found) != contents[section.old]:
                raise EditError(index, section.old, "malformed", "a deleted file's hunk must hold all of its lines.")
            operations.append(Operation(kind="delete", path=section.old))
            continue
        blocks += found
        if section.new != section.old:
            operations.append(Operation(kind="rename", path=section.old, to=section.new))
    return Edits(tuple(blocks), tuple(operations))


def _created(section: _Section) -> str:
    return "".join(
        text + ("" if index in hunk.unended else "\n")
        for hunk in section.hunks
        for index, (_, text) in enumerate(hunk.lines)
    )


def _blocks(path: str, content: str, hunks: Sequence[Hunk], first: int) -> list[Block]:
    if not any(hunk.numbers for hunk in hunks):
        return resolve(hunks, path, content, first, ends_file=False)
    pieces = content.split("\n")
    lines = [piece + "\n" for piece in pieces[:-1]] + ([pieces[-1]] if pieces[-1] else [])
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    blocks: list[Block] = []
    for hunk in hunks:
        index = first + len(blocks)
        if hunk.numbers is None:
            raise EditError(index, path, "malformed", "give every hunk its line numbers, or none.")
        old = [_ended(hunk, k) for k, (mark, _) in enumerate(hunk.lines) if mark != "+"]
        new = [_ended(hunk, k) for k, (mark, _) in enumerate(hunk.lines) if mark != "-"]
        start, old_count, new_start, new_count = hunk.numbers
        if (len(old), len(new)) != (old_count, new_count):
            counts = f"{len(old)} old and {len(new)} new lines"
            right = f"@@ -{start},{len(old)} +{new_start},{len(new)} @@"
            detail = (
                f"the hunk's head says {old_count} and {new_count}, but it has {counts}; its head should be {right}."
            )
            raise EditError(index, path, "malformed", detail)
        place = start - 1 if old_count else start
        if lines[place : place + old_count] != old or place > len(lines) or place < 0:
            raise not_found(index, path, content, "".join(old))
        block = block_at(path, content, starts[place], starts[place + old_count], "".join(new))
        blocks.append(block)
    return blocks


def _ended(hunk: Hunk, index: int) -> str:
    return hunk.lines[index][1] + ("" if index in hunk.unended else "\n")


class _Reader:
    """Reads the lines one after the other."""

    def __init__(self, text: str, *, lenient: bool) -> None:
        self._lenient = lenient
        lines = text.removesuffix("\n").split("\n") if text.strip() else []
        if lenient:
            lines = _diff_within(lines)
        if lines and lines[0].startswith("```"):
            lines = lines[1:-1] if lines[-1].startswith("```") else lines[1:]
        self._lines = lines
        self._at = 0
        self._sections: list[_Section] = []

    def sections(self) -> list[_Section]:
        """Every file of the diff."""
        while self._at < len(self._lines):
            line = self._lines[self._at]
            git = _GIT.match(line)
            if git:
                self._at += 1
                self._git_head(git[1])
            elif line.startswith("rename from ") and self._next().startswith("rename to "):
                section = _Section(
                    _name(line.removeprefix("rename from ")), _name(self._next().removeprefix("rename to "))
                )
                self._at += 2
                if self._sections and self._sections[-1] == section:
                    continue
                if self._sections and self._sections[-1].old == section.old and not self._sections[-1].hunks:
                    self._sections[-1] = section
                else:
                    self._sections.append(section)
            elif line.startswith("--- ") and self._next().startswith("+++ "):
                self._plain_head(line, self._next())
                self._at += 2
            elif line.startswith("@@") and self._sections:
                self._hunk(line)
            elif line.startswith("new file mode") and self._sections:
                self._sections[-1].old = None
                self._at += 1
            elif line.startswith("deleted file mode") and self._sections:
                self._sections[-1].new = None
                self._at += 1
            elif line.startswith(_EXTENDED) or not line:
                self._at += 1
            else:
                raise EditError(
                    len(self._sections), "?", "malformed", f"line {self._at + 1} is no line of a diff: {line!r}."
                )
        return self._sections

    def _next(self) -> str:
        return self._lines[self._at + 1] if self._at + 1 < len(self._lines) else ""

    def _at_head(self) -> bool:
        """Whether what could be a deleted and a new line reads like a file's head, with a hunk behind it."""
        behind = self._lines[self._at + 2] if self._at + 2 < len(self._lines) else ""
        return self._lines[self._at].startswith("--- ") and self._next().startswith("+++ ") and behind.startswith("@@")

    def _git_head(self, names: str) -> None:
        if names.startswith("/dev/null b/"):
            self._sections.append(_Section(None, names.removeprefix("/dev/null b/")))
        elif names.startswith("a/") and names.endswith(" /dev/null"):
            self._sections.append(_Section(names[2:].removesuffix(" /dev/null"), None))
        elif names.startswith('"'):
            quoted = re.findall(r'"((?:[^"\\]|\\.)*)"', names)
            old, new = (_name(f'"{each}"')[2:] for each in (quoted * 2)[:2])
            self._sections.append(_Section(old, new))
        else:
            middle = len(names) // 2  # The paths are the same unless lines to come say otherwise.
            same = (
                names[: middle - 1 + len(names) % 2].removeprefix("a/")
                if names[2:middle] == names[middle + 3 :]
                else ""
            )
            old, _, new = names.removeprefix("a/").partition(" b/")
            self._sections.append(_Section(same or old, same or new))

    def _plain_head(self, old_line: str, new_line: str) -> None:
        old, new = _name(old_line[4:]), _name(new_line[4:])
        before = None if old == "/dev/null" else old.removeprefix("a/")
        after = None if new == "/dev/null" else new.removeprefix("b/")
        if (
            self._sections
            and not self._sections[-1].hunks
            and (before or after)
            in (
                self._sections[-1].old,
                self._sections[-1].new,
            )
        ):
            self._sections[-1].old, self._sections[-1].new = before, after
        else:
            self._sections.append(_Section(before, after))

    def _hunk(self, head: str) -> None:
        numbers = _NUMBERS.match(head)
        hunk = Hunk()
        old_left = new_left = 1 << 60
        if numbers:
            start, old_left, new_start, new_left = (int(each) if each else 1 for each in numbers.groups())
            hunk.numbers = start, old_left, new_start, new_left
        self._sections[-1].hunks.append(hunk)
        self._at += 1
        begin = self._at
        while self._at < len(self._lines):
            line = self._lines[self._at]
            if line == _NO_LINE_FEED and hunk.lines:
                hunk.unended.add(len(hunk.lines) - 1)
            elif self._lenient and numbers is None and self._at_head():
                break
            elif line[:1] in (" ", "+", "-") and (old_left > 0 or new_left > 0):
                old_left -= line[0] != "+"
                new_left -= line[0] != "-"
                hunk.lines.append((line[0], line[1:]))
            elif not line and numbers and old_left > 0 and new_left > 0 and self._at + 1 < len(self._lines):
                old_left, new_left = old_left - 1, new_left - 1
                hunk.lines.append((" ", ""))  # An empty line whose blank was lost on the way; git reads it so.
            else:
                break
            self._at += 1
        if numbers and (old_left > 0 or new_left > 0 or self._marked()):
            self._count_again(hunk, begin)

    def _marked(self) -> bool:
        """Whether the current line is one of a hunk."""
        return self._at < len(self._lines) and self._lines[self._at][:1] in (" ", "+", "-") and not self._at_head()

    def _count_again(self, hunk: Hunk, begin: int) -> None:
        """Read a hunk whose counts are wrong by its lines alone, so that the error can say what they should be."""
        hunk.lines.clear()
        self._at = begin
        while self._marked() or (self._at < len(self._lines) and self._lines[self._at] == _NO_LINE_FEED):
            line = self._lines[self._at]
            if line != _NO_LINE_FEED:
                hunk.lines.append((line[0], line[1:]))
            self._at += 1


def _diff_within(lines: list[str]) -> list[str]:
    """The diff in a text that has prose or a fence around it."""
    heads = [k for k, line in enumerate(lines) if line.startswith(("diff --git ", "--- ", "rename from "))]
    if not heads:
        return lines
    begin = heads[0]
    if begin and lines[begin - 1].startswith("```"):
        end = next((k for k in range(begin, len(lines)) if lines[k].startswith("```")), len(lines))
        return lines[begin:end]
    return lines[begin:]


def _name(text: str) -> str:
    """A path as git writes it, unquoted."""
    if not text.startswith('"'):
        return text.partition("\t")[0]
    inner = text.strip().removeprefix('"').removesuffix('"')
    return re.sub(
        r"\\([0-7]{3}|.)", lambda m: chr(int(m[1], 8)) if len(m[1]) == 3 else _UNQUOTED.get(m[1], m[1]), inner
    )
