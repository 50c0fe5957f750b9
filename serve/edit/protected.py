"""Which lines of a file no edit may touch: line ranges of the request, and marked stretches of the file itself.

The lines between ``dovetail: protected begin`` and ``dovetail: protected end``, in a comment of whatever syntax, are
protected with their markers; to the file's end if nothing ends them. Knows no format.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from dovetail.serve.errors import UserError
from dovetail.serve.types import ProtectedLines, SourceFile

_MARK = re.compile(r"^\W*(?:rem\s+)?dovetail:\s*protected\s+(begin|end)\W*$", re.IGNORECASE)


def protected_lines(file: SourceFile, ranges: Sequence[ProtectedLines]) -> list[tuple[int, int]]:
    """First and last line, from 1, of every protected stretch: sorted, disjoint, none touching another.

    Raises:
        UserError: a range that is not in the file.
    """
    lines = file.content.split("\n")
    count = len(lines) - (not lines[-1])
    found = _marked(lines, count)
    for index, (path, first, last) in enumerate(ranges):
        if path == file.path:
            if not 1 <= first <= last <= count:
                message = f"{path} has lines 1 to {count}; {first} to {last} is no range of them."
                raise UserError(message, param=f"protected[{index}]")
            found.append((first, last))
    merged: list[tuple[int, int]] = []
    for first, last in sorted(found):
        if merged and first <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(last, merged[-1][1])
        else:
            merged.append((first, last))
    return merged


def protected_spans(file: SourceFile, ranges: Sequence[ProtectedLines]) -> tuple[tuple[int, int], ...]:
    """The same as byte ranges of the content with its imagined last line feed.

    Raises:
        UserError: a range that is not in the file.
    """
    stretches = protected_lines(file, ranges)
    if not stretches:
        return ()
    starts = [0]
    for line in file.content.split("\n"):
        starts.append(starts[-1] + len(line.encode()) + 1)
    return tuple((starts[first - 1], starts[last]) for first, last in stretches)


def _marked(lines: Sequence[str], count: int) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    begin: int | None = None
    for number, line in enumerate(lines[:count], 1):
        mark = _MARK.match(line) if "dovetail" in line.lower() else None
        if mark is None:
            continue
        if mark[1].lower() == "begin":
            begin = number if begin is None else begin
        elif begin is not None:
            found.append((begin, number))
            begin = None
    return [*found, (begin, count)] if begin is not None else found
