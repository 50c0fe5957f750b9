"""Edits as a Codex patch."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence

from dovetail.serve.edit.block import Block, Edits, first_place
from dovetail.serve.edit.formats.apply_patch.parse import ADD, BEGIN, DELETE, END, MOVE, UPDATE
from dovetail.serve.edit.formats.grounding import grounded
from dovetail.serve.types import SourceFile


def render_patch(files: Sequence[SourceFile], edits: Edits) -> str:
    """The patch that makes ``edits``; empty if there are none.

    Codex gives an updated file the final line feed that it lacks. A rename needs a hunk, so an unchanged file's first line
    that is there once is quoted and put back.

    Raises:
        EditError: as apply_edits.
    """
    found = grounded(files, edits)
    renamed = {each.path: each.to for each in edits.operations if each.kind == "rename"}
    lines: list[str] = []
    for file in files:
        if file.path in found or file.path in renamed:
            lines.append(UPDATE + file.path)
            lines += [MOVE + renamed[file.path]] if file.path in renamed else []
            for block in found.get(file.path) or []:
                lines += ["@@", *(mark + text for mark, text in marked(block))]
            if file.path not in found:
                lines += ["@@", *_untouched(file.content[first_place(file.content) :])]
    for each in edits.operations:
        if each.kind == "create":
            lines += [
                ADD + each.path,
                *("+" + line for line in each.content.removesuffix("\n").split("\n") if each.content),
            ]
        elif each.kind == "delete":
            lines.append(DELETE + each.path)
    return "\n".join([BEGIN, *lines, END, ""]) if lines else ""


def marked(block: Block) -> Iterator[tuple[str, str]]:
    """The block's lines, each kept, deleted or new, without line feeds."""
    old, new = _lines(block.search), _lines(block.replace)
    if old == new:
        yield from [*(("-", line) for line in old), *(("+", line) for line in new)]
        return
    for tag, old_from, old_to, new_from, new_to in difflib.SequenceMatcher(
        None, old, new, autojunk=False
    ).get_opcodes():
        if tag == "equal":
            yield from ((" ", line) for line in old[old_from:old_to])
            continue
        yield from (("-", line) for line in old[old_from:old_to])
        yield from (("+", line) for line in new[new_from:new_to])


def _lines(text: str) -> list[str]:
    return text.removesuffix("\n").split("\n") if text else []


def _untouched(content: str) -> list[str]:
    lines = _lines(content)
    line = next((line for line in lines if lines.count(line) == 1), None)
    kept = [line] if line is not None else lines
    return [*("-" + line for line in kept), *("+" + line for line in kept)]
