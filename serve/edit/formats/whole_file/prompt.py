"""The chat messages that ask a model for whole files. Knows no tokenizer."""

from __future__ import annotations

from collections.abc import Sequence

from dovetail.serve.edit.formats.conversation import conversation
from dovetail.serve.edit.formats.whole_file.fence import choose_fence
from dovetail.serve.types import FileOperation, SourceFile

_FORMAT = """\
You edit files. Answer with every file that changes, whole: no explanation.

A file is its path on a line of its own, then its new content in a fence:

src/example.py
{fence}
import math


def area(r):
    return math.pi * r * r
{fence}

Copy the lines that stay exactly as they are. Leave out files that do not change.{operations}"""

_OPERATIONS: dict[FileOperation, str] = {
    "create": "A path that is not given creates a file.",
}


def whole_file_messages(
    files: Sequence[SourceFile], instruction: str, operations: Sequence[FileOperation] = ()
) -> list[dict[str, str]]:
    """A system message that explains the format and the ``operations`` allowed, and a user message."""
    told = "".join(f"\n{_OPERATIONS[each]}" for each in operations if each in _OPERATIONS)
    return conversation(
        _FORMAT.replace("{operations}", told).replace("{fence}", choose_fence(files)), files, instruction
    )
