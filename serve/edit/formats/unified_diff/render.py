"""Edits as a diff without line numbers, as a model is asked to write it. The diff with numbers is a patch: see patch.py."""

from __future__ import annotations

from collections.abc import Sequence

from dovetail.serve.edit.block import Edits
from dovetail.serve.edit.formats.apply_patch.render import marked
from dovetail.serve.edit.formats.grounding import grounded
from dovetail.serve.edit.formats.unified_diff.zones import NUMBERLESS_DIFF as WORDS
from dovetail.serve.types import SourceFile


def render_numberless(files: Sequence[SourceFile], edits: Edits) -> str:
    """The fenced diff that makes ``edits``; empty if there are none.

    Raises:
        EditError: as apply_edits.
    """
    found = grounded(files, edits)
    pieces: list[str] = []
    for path, blocks in found.items():
        for number, block in enumerate(blocks):
            head = WORDS.hunk if number else WORDS.update(path.encode())
            pieces += [head.decode(), *(f"{mark}{text}\n" for mark, text in marked(block))]
    for each in edits.operations:
        if each.kind == "delete":
            pieces.append(WORDS.delete(each.path.encode()).decode())
        elif each.kind == "rename":
            pieces.append(WORDS.rename(each.path.encode()).decode() + each.to + "\n")
        else:
            lines = each.content.removesuffix("\n").split("\n") if each.content else []
            pieces += [
                WORDS.create.decode(),
                each.path,
                "\n",
                WORDS.created.decode(),
                *(f"+{line}\n" for line in lines),
            ]
    return "".join([WORDS.begin.decode(), *pieces, WORDS.end.decode(), "\n"]) if pieces else ""
