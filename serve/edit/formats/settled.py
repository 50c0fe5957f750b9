"""How much of a growing answer stands: its complete edits, which no way back takes. Knows no constraint.

Each function is given the text so far and where it is known to stand up to, and says up to where it stands now. An edit is complete
where its last token ends (serve/edit/zones); with the syntax "final" edits are taken back together, and none of this holds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dovetail.serve.edit.formats.whole_file.fence import choose_fence
from dovetail.serve.types import Markers, SourceFile

Settled = Callable[[str, int, Sequence[SourceFile], Markers], int]

_HEADS = ("@@", "*** ")


def settled_blocks(text: str, begin: int, _: Sequence[SourceFile], markers: Markers) -> int:
    """Up to the last terminator: no other line is like it."""
    line = f"\n{markers.replace}\n"
    found = text.rfind(line, begin)
    return begin if found < 0 else found + len(line)


def settled_calls(text: str, begin: int, _: Sequence[SourceFile], __: Markers) -> int:
    """Up to the last line's end: each call is one line."""
    return max(begin, text.rfind("\n", begin) + 1)


def settled_files(text: str, begin: int, files: Sequence[SourceFile], _: Markers) -> int:
    """Up to the last fence that closes a file."""
    line = f"\n{choose_fence(files)}\n"
    while (opened := text.find(line, begin)) >= 0:
        closed = text.find(line, opened + len(line) - 1)
        if closed < 0:
            break
        begin = closed + len(line)
    return begin


def settled_hunks(text: str, begin: int, _: Sequence[SourceFile], __: Markers) -> int:
    """Up to the heads behind the last hunk that has any: with them it is complete."""
    at, headed = begin, True
    for line in text[begin:].split("\n"):
        head = line.startswith(_HEADS)
        if head and not headed:
            begin = at
        headed = head
        at += len(line) + 1
    return begin


def settled_never(_: str, begin: int, __: Sequence[SourceFile], ___: Markers) -> int:
    """Nothing, before the end: what is answered is not what the model writes."""
    return begin
