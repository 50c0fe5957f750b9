"""Edits as calls of a string-replacing tool. The format has no words to delete or rename a file."""

from __future__ import annotations

import json
from collections.abc import Sequence

from dovetail.serve.edit.block import Edits
from dovetail.serve.edit.formats.grounding import grounded
from dovetail.serve.types import SourceFile


def render_calls(files: Sequence[SourceFile], edits: Edits) -> str:
    """One JSON object per line, in the form that the constraint holds a model to.

    Raises:
        EditError: as apply_edits.
    """
    calls: list[dict[str, str]] = []
    for path, blocks in grounded(files, edits).items():
        calls += [{"file_path": path, "old_string": each.search, "new_string": each.replace} for each in blocks]
    for each in edits.operations:
        if each.kind == "create":
            calls.append({"command": "create", "file_path": each.path, "content": each.content})
    return "".join(json.dumps(call, ensure_ascii=False) + "\n" for call in calls)
