"""Edits as whole files. The format has no words to delete or rename a file."""

from __future__ import annotations

from collections.abc import Sequence

from dovetail.serve.edit.block import Edits, first_place
from dovetail.serve.edit.formats.grounding import applied
from dovetail.serve.edit.formats.whole_file.fence import choose_fence
from dovetail.serve.types import SourceFile


def render_files(files: Sequence[SourceFile], edits: Edits) -> str:
    """Every file that ``edits`` change or create, behind its path, in a fence no content breaks out of.

    Raises:
        EditError: as apply_edits.
    """
    after = applied(files, edits)
    fence = choose_fence([*files, *after.changed])
    pieces = []
    for old, new in after.pairs:
        if new is not None and new != old:
            end = "\n" if _is_read_without_end(old) or (new.content and not new.content.endswith("\n")) else ""
            pieces.append(f"{new.path}\n{fence}\n{new.content}{end}{fence}\n")
    return "".join(pieces)


def _is_read_without_end(old: SourceFile | None) -> bool:
    """Whether the last line feed in the fence is none of the file's: the file had none, and keeps to that."""
    return old is not None and len(old.content) > first_place(old.content) and not old.content.endswith("\n")
