"""Edits as search/replace blocks. The format has no words to delete or rename a file."""

from __future__ import annotations

from collections.abc import Sequence

from dovetail.serve.edit.block import Edits
from dovetail.serve.edit.formats.grounding import grounded
from dovetail.serve.types import Markers, SourceFile


def render_blocks(files: Sequence[SourceFile], edits: Edits, markers: Markers) -> str:
    """One block per change, and one with nothing to search for per file to create.

    Raises:
        EditError: as apply_edits.
    """
    pieces = []
    for path, blocks in grounded(files, edits).items():
        pieces += [_block(path, each.search, each.replace, markers) for each in blocks]
    pieces += [_block(each.path, "", each.content, markers) for each in edits.operations if each.kind == "create"]
    return "".join(pieces)


def _block(path: str, search: str, replace: str, markers: Markers) -> str:
    unended = bool(search) and not search.endswith("\n")  # The file's last line: both texts are read less a line feed.
    parts = (f"{text}\n" if text and (unended or not text.endswith("\n")) else text for text in (search, replace))
    return f"{path}\n{markers.search}\n" + f"{markers.divider}\n".join(parts) + f"{markers.replace}\n"
