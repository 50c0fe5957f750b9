"""Edits as whole files. The format has no words to delete or rename a file."""

from __future__ import annotations

from collections.abc import Sequence

from dovetail.serve.edit.block import Edits
from dovetail.serve.edit.formats.grounding import applied
from dovetail.serve.edit.formats.whole_file.fence import choose_fence
from dovetail.serve.types import SourceFile


def render_files(files: Sequence[SourceFile], edits: Edits) -> str:
    """Every file that ``edits`` change or create, behind its path, in a fence no content breaks out of.

    Raises:
        EditError: as apply_edits.
    """
    changed = applied(files, edits).changed
    fence = choose_fence([*files, *changed])
    pieces = []
    for file in changed:
        end = "" if file.content.endswith("\n") or not file.content else "\n"
        pieces.append(f"{file.path}\n{fence}\n{file.content}{end}{fence}\n")
    return "".join(pieces)
