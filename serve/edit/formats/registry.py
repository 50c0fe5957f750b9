"""Every edit format by its name: how it is explained to a model, read, completed and written. Knows no constraint."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dovetail.serve.edit.block import Edits
from dovetail.serve.edit.formats.apply_patch.parse import completed_patch, parse_patch, patch_within
from dovetail.serve.edit.formats.apply_patch.prompt import apply_patch_messages
from dovetail.serve.edit.formats.apply_patch.render import render_patch
from dovetail.serve.edit.formats.blocks.foreign import parse_foreign_blocks
from dovetail.serve.edit.formats.blocks.parse import parse_answer
from dovetail.serve.edit.formats.blocks.prompt import edit_messages
from dovetail.serve.edit.formats.blocks.render import render_blocks
from dovetail.serve.edit.formats.grounding import applied
from dovetail.serve.edit.formats.settled import (
    Settled,
    settled_blocks,
    settled_calls,
    settled_files,
    settled_hunks,
    settled_never,
)
from dovetail.serve.edit.formats.str_replace.parse import calls_are_verbatim, parse_calls
from dovetail.serve.edit.formats.str_replace.prompt import str_replace_messages
from dovetail.serve.edit.formats.str_replace.render import render_calls
from dovetail.serve.edit.formats.unified_diff.parse import completed_diff, parse_diff
from dovetail.serve.edit.formats.unified_diff.prompt import unified_diff_messages
from dovetail.serve.edit.formats.whole_file.parse import parse_files
from dovetail.serve.edit.formats.whole_file.prompt import whole_file_messages
from dovetail.serve.edit.formats.whole_file.render import render_files
from dovetail.serve.edit.view import is_verbatim
from dovetail.serve.types import EditFormat, FileOperation, Markers, SourceFile

Files = Sequence[SourceFile]
Messages = list[dict[str, str]]


@dataclass(frozen=True)
class Format:
    """One format. ``operations``: what it has words for.

    ``read`` reads what the constraint lets through, ``read_foreign`` what was made elsewhere; both raise EditError.
    ``completed`` ends an output that the budget ended between two edits. ``verbatim``: whether a text made elsewhere quotes
    files byte for byte, and not as a model reads them. ``settled``: how much of a growing output stands.
    """

    name: EditFormat
    operations: tuple[FileOperation, ...]
    messages: Callable[[Files, str, Markers, Sequence[FileOperation]], Messages]
    read: Callable[[str, Files, Markers], Edits]
    read_foreign: Callable[[str, Files, Markers], Edits]
    render: Callable[[Files, Edits, Markers], str]
    settled: Settled
    completed: Callable[[str], str] = str
    verbatim: Callable[[str], bool] = is_verbatim


FORMATS: dict[EditFormat, Format] = {
    "blocks": Format(
        name="blocks",
        operations=("create",),
        messages=edit_messages,
        read=parse_answer,
        read_foreign=parse_foreign_blocks,
        render=render_blocks,
        settled=settled_blocks,
    ),
    "apply_patch": Format(
        name="apply_patch",
        operations=("create", "delete", "rename"),
        messages=lambda files, instruction, _, operations: apply_patch_messages(files, instruction, operations),
        read=lambda text, files, _: parse_patch(text, files),
        read_foreign=lambda text, files, _: parse_patch(patch_within(text), files),
        render=lambda files, edits, _: render_patch(files, edits),
        settled=settled_hunks,
        completed=completed_patch,
    ),
    "unified_diff": Format(
        name="unified_diff",
        operations=("create", "delete", "rename"),
        messages=lambda files, instruction, _, operations: unified_diff_messages(files, instruction, operations),
        read=lambda text, files, _: parse_diff(text, files),
        read_foreign=lambda text, files, _: parse_diff(text, files, lenient=True),
        render=lambda files, edits, _: applied(files, edits).patch,
        settled=settled_never,
        completed=completed_diff,
    ),
    "whole_file": Format(
        name="whole_file",
        operations=("create",),
        messages=lambda files, instruction, _, operations: whole_file_messages(files, instruction, operations),
        read=lambda text, files, _: parse_files(text, files),
        read_foreign=lambda text, files, _: parse_files(text, files, lenient=True),
        render=lambda files, edits, _: render_files(files, edits),
        settled=settled_files,
    ),
    "str_replace": Format(
        name="str_replace",
        operations=("create",),
        messages=lambda files, instruction, _, operations: str_replace_messages(files, instruction, operations),
        read=lambda text, files, _: parse_calls(text, files),
        read_foreign=lambda text, files, _: parse_calls(text, files, lines_only=False),
        render=lambda files, edits, _: render_calls(files, edits),
        settled=settled_calls,
        verbatim=calls_are_verbatim,
    ),
}


def without_words(name: EditFormat, operation: FileOperation) -> str:
    """That a format cannot express an operation, and which ones can."""
    able = [form.name for form in FORMATS.values() if operation in form.operations]
    return f"for which {name} has no words; the formats that have are {', '.join(able)}"
