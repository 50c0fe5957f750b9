"""Unified diffs applied to texts: exactly, or not at all. Reads and writes no file."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from dovetail.agent.problems import FileProblem

_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_REFUSED = ("old mode", "new mode", "rename ", "copy ", "similarity", "GIT binary", "Binary files")
_ESCAPE = re.compile(rb'\\([0-7]{3}|["\\abfnrtv])')
_ESCAPES = {b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}


@dataclass
class Hunk:
    """Lines with their kind (blank, minus, plus) in front, and the line of the old text where they begin."""

    start: int
    lines: list[str]


@dataclass
class FilePatch:
    """What a patch says of one file; None: the file is not there before, or afterwards."""

    old: str | None
    new: str | None
    hunks: list[Hunk]


def parse_patch(text: str) -> list[FilePatch]:
    """The files of a unified diff.

    Raises:
        FileProblem: it cannot be read, or does more than change, make and delete text files.
    """
    lines = text.removesuffix("\n").split("\n")
    found: list[FilePatch] = []
    index = 0
    while index < len(lines):
        line = lines[index]
        if line.startswith(_REFUSED):
            raise FileProblem(
                f"The patch holds {line.strip()[:60]!r}: modes, renames and binary files are not applied."
            )
        if line.startswith("--- ") and index + 1 < len(lines) and lines[index + 1].startswith("+++ "):
            old, new = _name(line[4:], "a/"), _name(lines[index + 1][4:], "b/")
            if old is not None and new is not None and old != new:
                raise FileProblem(f"The patch renames {old} to {new}: renames are not applied.")
            found.append(FilePatch(old, new, []))
            index += 2
        elif (match := _HUNK.match(line)) is not None:
            if not found:
                raise FileProblem("The patch has a hunk before it names a file (--- and +++ lines).")
            hunk, index = _hunk(match, lines, index + 1)
            found[-1].hunks.append(hunk)
        else:
            index += 1
    if not found or not all(each.hunks for each in found):
        raise FileProblem("This is no unified diff: it must have ---, +++ and @@ lines.")
    return found


def apply_patch(patch: str, read: Callable[[str], str | None]) -> dict[str, str | None]:
    """The new text of every file that a patch names; None: it goes.

    Raises:
        FileProblem: a hunk's lines are not exactly where it says; then nothing of the patch holds.
    """
    made: dict[str, str | None] = {}
    for each in parse_patch(patch):
        path = each.old if each.old is not None else each.new
        if path is None:
            raise FileProblem("The patch names no file (/dev/null on both sides).")
        if path in made:
            raise FileProblem(f"The patch names {path} twice.")
        text = read(path)
        if (text is None) != (each.old is None):
            raise FileProblem(f"{path} does not exist." if text is None else f"{path} exists already.")
        after = "".join(_patched(path, _lines(text or ""), each.hunks))
        if each.new is None and after:
            raise FileProblem(f"The patch deletes {path}, but leaves lines of it.")
        made[path] = None if each.new is None else after
    return made


def fine_patch(path: str, before: str, after: str) -> str:
    """A patch without context, in which replaced lines of equal number stand in hunks of their own."""
    old, new = _lines(before), _lines(after)
    parts = [f"--- a/{path}\n+++ b/{path}\n"]
    for tag, first, last, to, until in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal":
            continue
        pairs = [(first, last, to, until)]
        if last - first == until - to:
            pairs = [(first + one, first + one + 1, to + one, to + one + 1) for one in range(last - first)]
        parts += [_bare_hunk(old, new, *pair) for pair in pairs]
    return "".join(parts) if len(parts) > 1 else ""


def _bare_hunk(old: list[str], new: list[str], first: int, last: int, to: int, until: int) -> str:
    gone, come = old[first:last], new[to:until]
    start, end = (first + 1 if gone else first), (to + 1 if come else to)
    body = "".join(_marked("-", line) for line in gone) + "".join(_marked("+", line) for line in come)
    return f"@@ -{start},{len(gone)} +{end},{len(come)} @@\n{body}"


def _marked(kind: str, line: str) -> str:
    return f"{kind}{line}" if line.endswith("\n") else f"{kind}{line}\n\\ No newline at end of file\n"


def _lines(text: str) -> list[str]:
    """Lines as git counts them: ended by line feeds alone."""
    return [line for line in re.split(r"(?<=\n)", text) if line]


def _hunk(match: re.Match[str], lines: Sequence[str], index: int) -> tuple[Hunk, int]:
    old, new = int(match[2] or 1), int(match[4] or 1)
    taken: list[str] = []
    while old > 0 or new > 0 or (index < len(lines) and lines[index].startswith("\\")):
        if index >= len(lines):
            raise FileProblem("The patch ends in the middle of a hunk.")
        line = lines[index] or " "
        if line[0] == "\\" and taken:
            taken[-1] = taken[-1].removesuffix("\n")
        elif line[0] in " +-":
            taken.append(line + "\n")
            old -= line[0] != "+"
            new -= line[0] != "-"
        else:
            raise FileProblem(f"A hunk of the patch holds a line that does not belong there: {line[:60]!r}.")
        index += 1
    if old or new:
        raise FileProblem(f"A hunk holds more lines than it announces: {match[0]}.")
    # without lines of the old text a hunk stands behind the line that it names
    return Hunk(int(match[1]) - (match[2] != "0"), taken), index


def _patched(path: str, old: list[str], hunks: Sequence[Hunk]) -> Iterator[str]:
    at = 0
    for hunk in hunks:
        wanted = [line[1:] for line in hunk.lines if line[0] != "+"]
        if hunk.start < at or old[hunk.start : hunk.start + len(wanted)] != wanted:
            raise FileProblem(f"{path}: what the patch expects at line {hunk.start + 1} is not there.")
        yield from old[at : hunk.start]
        yield from (line[1:] for line in hunk.lines if line[0] != "-")
        at = hunk.start + len(wanted)
    yield from old[at:]


def _name(written: str, prefix: str) -> str | None:
    name = written.split("\t")[0].rstrip("\r")
    if name == "/dev/null":
        return None
    if name.startswith('"') and name.endswith('"') and len(name) > 1:
        raw = _ESCAPE.sub(_unescaped, name[1:-1].encode("utf-8"))
        name = raw.decode("utf-8", "surrogateescape")
    return name.removeprefix(prefix)


def _unescaped(match: re.Match[bytes]) -> bytes:
    code = match[1]
    return bytes([int(code, 8) & 255]) if code.isdigit() else _ESCAPES.get(code, code)
