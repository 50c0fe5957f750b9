"""Unified diffs that ``git apply`` takes, byte for byte: lines end at line feeds only. Knows no blocks."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from dovetail.serve.types import SourceFile

_CONTEXT = 3
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def unified_diff(before: SourceFile | None, after: SourceFile | None) -> str:
    """The change of one file, with three lines of context; empty if there is none.

    None: the file is not there. Different paths: it was renamed. The ``diff --git`` line says that a file exists already,
    without which git takes an empty one for a new file.
    """
    if before == after:
        return ""
    path = (before or after or SourceFile("", "")).path
    to = after.path if after is not None else path
    names = _quoted(f"a/{path}"), _quoted(f"b/{to}")
    old, new = _lines(before.content if before else ""), _lines(after.content if after else "")
    head = [f"diff --git {names[0]} {names[1]}\n"]
    if before is None:
        head.append("new file mode 100644\n")
    elif after is None:
        head.append("deleted file mode 100644\n")
    elif path != to:
        same = int(100 * difflib.SequenceMatcher(None, old, new).ratio()) if old != new else 100
        head += [f"similarity index {same}%\n", f"rename from {_quoted(path)}\n", f"rename to {_quoted(to)}\n"]
    if old != new:
        head.append(f"--- {_ended(names[0]) if before else '/dev/null'}\n")
        head.append(f"+++ {_ended(names[1]) if after else '/dev/null'}\n")
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=len(old) > 2_000)
    return "".join(
        [*head, *(line for group in matcher.get_grouped_opcodes(_CONTEXT) for line in _hunk(group, old, new))]
    )


def _hunk(group: list[tuple[str, int, int, int, int]], old: list[str], new: list[str]) -> Iterator[str]:
    first, last = group[0], group[-1]
    yield f"@@ -{_range(first[1], last[2])} +{_range(first[3], last[4])} @@\n"
    for tag, old_from, old_to, new_from, new_to in group:
        if tag == "equal":
            yield from (_marked(" ", line) for line in old[old_from:old_to])
            continue
        yield from (_marked("-", line) for line in old[old_from:old_to])
        yield from (_marked("+", line) for line in new[new_from:new_to])


def _range(start: int, stop: int) -> str:
    count = stop - start
    return f"{start + 1 if count else start},{count}"


def _marked(mark: str, line: str) -> str:
    return mark + line if line.endswith("\n") else f"{mark}{line}\n\\ No newline at end of file\n"


def _lines(content: str) -> list[str]:
    pieces = content.split("\n")
    return [piece + "\n" for piece in pieces[:-1]] + ([pieces[-1]] if pieces[-1] else [])


def _quoted(name: str) -> str:
    """``name`` as git writes it: in double quotes with C escapes if it holds a quote, a backslash or a control."""
    if not any(char in _ESCAPES or ord(char) < 0x20 or ord(char) == 0x7F for char in name):
        return name
    escaped = "".join(
        _ESCAPES.get(char) or (f"\\{ord(char):03o}" if ord(char) < 0x20 or ord(char) == 0x7F else char) for char in name
    )
    return f'"{escaped}"'


def _ended(name: str) -> str:
    """A bare name with a space is followed by a tab, lest what follows the space be taken for a time."""
    return f"{name}\t" if " " in name and not name.startswith('"') else name
