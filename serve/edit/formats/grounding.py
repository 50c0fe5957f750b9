"""Blocks that can be found by their text alone: what a renderer needs. Knows no format's words."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from dovetail.serve.edit.apply import Applied, apply_edits
from dovetail.serve.edit.block import Block, Edits, block_at, first_place
from dovetail.serve.types import SourceFile

_CONTEXTS = (0, 1, 3, 10, 40)


def applied(files: Sequence[SourceFile], edits: Edits) -> Applied:
    """The files with ``edits``, not parsed.

    Raises:
        EditError: as apply_edits.
    """
    return apply_edits(files, edits, syntax="off")


def grounded(files: Sequence[SourceFile], edits: Edits) -> dict[str, list[Block]]:
    """The blocks of every edited file, by place, each quoting whole lines that are there once.

    Where the given ones do not (insertions, blocks found by their line numbers), the file's difference is cut anew, with as
    much around it as it takes.

    Raises:
        EditError: as apply_edits.
    """
    after = {old.path: new.content for old, new in applied(files, edits).pairs if old is not None and new is not None}
    found: dict[str, list[Block]] = {}
    for file in files:
        blocks = [block for block in edits.blocks if block.path == file.path]
        if not blocks or file.path not in after:
            continue
        whole = all(not block.anchored and _whole_lines(block) for block in blocks)
        ordered = sorted(blocks, key=lambda block: block.start_line)
        found[file.path] = ordered if whole else _cut(file.path, file.content, after[file.path])
    return found


def _whole_lines(block: Block) -> bool:
    return not block.replace or block.search.endswith("\n") == block.replace.endswith("\n")


def _cut(path: str, before: str, after: str) -> list[Block]:
    begin = first_place(before)
    old, new = _lines(before[begin:]), _lines(after[begin:])
    starts = [begin]
    for line in old:
        starts.append(starts[-1] + len(line))
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    for context in (*_CONTEXTS, len(old) + len(new)):
        blocks = []
        for group in matcher.get_grouped_opcodes(context):
            first, last = group[0], group[-1]
            text = "".join(new[first[3] : last[4]])
            blocks.append(block_at(path, before, starts[first[1]], starts[last[2]], text))
        if not any(block.anchored for block in blocks):
            return blocks
    return [block_at(path, before, begin, len(before), after[begin:])] if before != after else []


def _lines(content: str) -> list[str]:
    pieces = content.split("\n")
    return [piece + "\n" for piece in pieces[:-1]] + ([pieces[-1]] if pieces[-1] else [])
