"""The chat messages that ask a model for blocks: for models without an edit template of their own. Knows no tokenizer."""

from __future__ import annotations

from collections.abc import Sequence

from dovetail.serve.edit.formats.conversation import conversation
from dovetail.serve.types import FileOperation, Markers, SourceFile

_FORMAT = """\
You edit files. Answer with edit blocks only: no explanation, no code fences.

A block is the file's path on a line of its own, then the lines to replace and the lines to put there:

src/example.py
{search}
def area(r):
    return 3 * r * r
{divider}
def area(r):
    return math.pi * r * r
{replace}

Quote whole lines of the file between the first two markers, exactly as they are, and enough of them to be found only
once. Quote no line twice. Use one block per place to change, and leave unchanged places out. Put nothing between the
divider and the last marker to delete the quoted lines; quote nothing to fill an empty file."""

_CREATE = "\nA block with a path that is not given and nothing quoted creates that file."


def edit_messages(
    files: Sequence[SourceFile], instruction: str, markers: Markers, operations: Sequence[FileOperation] = ()
) -> list[dict[str, str]]:
    """A system message that explains the format, and a user message with the fenced files and the instruction."""
    system = _FORMAT.format(search=markers.search, divider=markers.divider, replace=markers.replace)
    if "create" in operations:
        system += _CREATE
    return conversation(system, files, instruction)
