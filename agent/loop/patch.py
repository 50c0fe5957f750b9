"""Changes as a patch that ``git apply`` takes. Applies nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import unified_diff

from dovetail.agent.checks.case import Change


def make_patch(changes: Mapping[str, Change]) -> str:
    """A unified diff of all files, in the order of their paths."""
    return "".join(part for path in sorted(changes) for part in _file(path, changes[path]))


def _file(path: str, change: Change) -> Iterator[str]:
    if change.before == change.after:
        return
    old, new = _quoted(f"a/{path}"), _quoted(f"b/{path}")
    yield f"diff --git {old} {new}\n"
    if change.before is None:
        yield "new file mode 100644\n"
    if change.after is None:
        yield "deleted file mode 100644\n"
    before, after = _lines(change.before or ""), _lines(change.after or "")
    names = ("/dev/null" if change.before is None else old, "/dev/null" if change.after is None else new)
    for line in unified_diff(before, after, *names):
        yield line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"


def _lines(text: str) -> list[str]:
    """Lines as git counts them: ended by line feeds alone."""
    return [line for line in re.split(r"(?<=\n)", text) if line]


def _quoted(path: str) -> str:
    """A path as git writes it: quoted where it holds anything special."""
    if re.fullmatch(r"[\x21\x23-\x5b\x5d-\x7e]+", path):
        return path
    special = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t"}
    made = ""
    for byte in path.encode("utf-8", "surrogateescape"):
        char = chr(byte)
        made += special.get(char, char if 0x20 <= byte < 0x7F else f"\\{byte:03o}")
    return f'"{made}"'
