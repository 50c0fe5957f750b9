"""A unified diff as single changes, and a diff of any part of them that applies to the same files. Reads no file."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from dovetail.agent.problems import Problem

_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@(.*)", re.DOTALL)
_WHOLE = (
    "new file",
    "deleted file",
    "old mode",
    "new mode",
    "rename ",
    "copy ",
    "GIT binary",
    "Binary files",
    "similarity",
)


@dataclass(frozen=True)
class Change:
    """A run of removed and added lines that touch each other, or all that a patch says of one file.

    ``section``: which file of the patch; ``hunk`` and ``run``: where in it, -1 for the whole file.
    """

    section: int
    hunk: int
    run: int
    text: str


@dataclass(frozen=True)
class _Hunk:
    start: int
    tail: str
    lines: tuple[tuple[int, str], ...]
    """Each line with the run that it belongs to, -1 for context."""


@dataclass(frozen=True)
class _Section:
    head: str
    hunks: tuple[_Hunk, ...]
    whole: bool


class Patch:
    """A parsed unified diff.

    Raises:
        Problem: a hunk does not hold the lines that its head announces.
    """

    def __init__(self, text: str) -> None:
        self._sections = tuple(_section(lines) for lines in _files(text.split("\n")))
        self.changes = tuple(self._all())

    def only(self, chosen: Collection[Change]) -> str:
        """The patch with these changes alone."""
        keys = {(change.section, change.hunk, change.run) for change in chosen}
        return "".join(self._render(number, section, keys) for number, section in enumerate(self._sections))

    def _all(self) -> Iterator[Change]:
        for number, section in enumerate(self._sections):
            if section.whole:
                yield Change(number, -1, -1, section.head + "".join(map(_whole_hunk, section.hunks)))
                continue
            for index, hunk in enumerate(section.hunks):
                for run in sorted({run for run, _ in hunk.lines} - {-1}):
                    yield Change(number, index, run, "".join(line for own, line in hunk.lines if own == run))

    def _render(self, number: int, section: _Section, keys: Collection[tuple[int, int, int]]) -> str:
        if section.whole:
            return section.head + "".join(map(_whole_hunk, section.hunks)) if (number, -1, -1) in keys else ""
        body, shift = [], 0
        for index, hunk in enumerate(section.hunks):
            runs = {run for own, at, run in keys if (own, at) == (number, index)}
            if runs:
                lines = _with_runs(hunk, runs)
                body.append(_write(hunk, lines, shift))
                shift += _count(lines, "+") - _count(lines, "-")
        return section.head + "".join(body) if body else ""


def _files(lines: Sequence[str]) -> Iterator[list[str]]:
    """The lines of each file of the patch; what stands before the first is left out."""
    current: list[str] = []
    remaining = [0, 0]
    for index, line in enumerate(lines):
        inside = any(count > 0 for count in remaining)
        starts = line.startswith("diff --git ") or (
            line.startswith("--- ") and lines[index + 1 : index + 2] and lines[index + 1].startswith("+++ ")
        )
        begun = bool(current) and current[0].startswith("diff --git ") and not any(x.startswith("@@ ") for x in current)
        if starts and not inside and not (line.startswith("--- ") and begun):
            if current:
                yield current
            current = []
        if (match := _HUNK.match(line)) and not inside:
            remaining = [int(match[2] or 1), int(match[4] or 1)]
        elif inside:
            remaining[0] -= line[:1] in {" ", "-", ""}
            remaining[1] -= line[:1] in {" ", "+", ""}
        if current or starts:
            current.append(line)
    if current:
        yield current


def _section(lines: list[str]) -> _Section:
    first = next((index for index, line in enumerate(lines) if _HUNK.match(line)), len(lines))
    if first == len(lines):
        return _Section("\n".join(lines).rstrip("\n") + "\n\n", (), True)
    head = "".join(line + "\n" for line in lines[:first])
    hunks, index = [], first
    while index < len(lines) and (match := _HUNK.match(lines[index])):
        hunk, index = _hunk(match, lines, index + 1)
        hunks.append(hunk)
    whole = any(line.startswith(_WHOLE) or line in {"--- /dev/null", "+++ /dev/null"} for line in lines[:first])
    return _Section(head, tuple(hunks), whole)


def _hunk(match: re.Match[str], lines: Sequence[str], index: int) -> tuple[_Hunk, int]:
    old, new = int(match[2] or 1), int(match[4] or 1)
    found: list[tuple[int, str]] = []
    run, in_run = -1, False
    while old > 0 or new > 0 or (index < len(lines) and lines[index].startswith("\\")):
        if index >= len(lines):
            raise Problem("The patch ends in the middle of a hunk.")
        line = lines[index] or " "
        if line[0] == "\\":
            own, before = found[-1]
            found[-1] = (own, before + line + "\n")
        elif line[0] in " +-":
            run += line[0] != " " and not in_run
            in_run = line[0] != " "
            found.append((run if in_run else -1, line + "\n"))
            old -= line[0] != "+"
            new -= line[0] != "-"
        else:
            raise Problem(f"A hunk of the patch holds a line that does not belong there: {line[:60]!r}.")
        index += 1
    start = int(match[1]) if match[2] != "0" else int(match[1]) + 1
    return _Hunk(start, match[5], tuple(found)), index


def _with_runs(hunk: _Hunk, runs: Collection[int]) -> list[str]:
    """The hunk's lines with some runs done; of the others the removed lines stay."""
    lines = []
    for run, line in hunk.lines:
        if run in runs or run == -1:
            lines.append(line)
        elif line[0] == "-":
            lines.append(" " + line[1:])
    return lines


def _write(hunk: _Hunk, lines: Sequence[str], shift: int) -> str:
    old, new = (sum(line[0] in kinds for line in lines) for kinds in (" -", " +"))
    start = hunk.start if old else hunk.start - 1
    to = hunk.start + shift if new else hunk.start + shift - 1
    return f"@@ -{start},{old} +{to},{new} @@{hunk.tail}\n" + "".join(lines)


def _whole_hunk(hunk: _Hunk) -> str:
    return _write(hunk, [line for _, line in hunk.lines], 0)


def _count(lines: Sequence[str], kind: str) -> int:
    return sum(line[0] == kind for line in lines)
