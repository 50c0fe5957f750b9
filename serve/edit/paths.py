"""Which paths a file may have: plain, relative, one place on every system. Looks at no disk."""

from __future__ import annotations

import re
from collections.abc import Iterable

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_DRIVE = re.compile(r"[A-Za-z]:")


def path_fault(path: str) -> str | None:
    """What is wrong with ``path``, to be read behind its name; None if nothing is."""
    if not path or path != path.strip():
        return "is empty, or begins or ends with a blank"
    if _UNPRINTABLE.search(path):
        return "holds a line end or another control character"
    if "\\" in path:
        return "holds a backslash; separate folders with forward slashes"
    if path.startswith("/") or _DRIVE.match(path):
        return "is absolute; give it relative to the project"
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts):
        return "has an empty, '.' or '..' component"
    if any(part.casefold().rstrip(". ") == ".git" for part in parts):
        return "lies in .git"
    return None


def path_taken(path: str, others: Iterable[str]) -> str | None:
    """The path of ``others`` that stands in the way of a new file: the same but for case, or a folder where it has a file."""
    folded = path.casefold()
    for other in others:
        known = other.casefold()
        if folded == known or folded.startswith(known + "/") or known.startswith(folded + "/"):
            return other
    return None
