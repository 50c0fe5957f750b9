"""Apply blocks: all or none, after checking anew every guarantee that the constraint gave. Trusts no earlier check."""

from __future__ import annotations

from collections.abc import Sequence

from dovetail.serve.constrain.syntax.change import Change
from dovetail.serve.constrain.syntax.gate import SyntaxGate
from dovetail.serve.edit.block import Block, EditError, locate_exact
from dovetail.serve.types import SourceFile, Syntax


def apply_blocks(files: Sequence[SourceFile], blocks: Sequence[Block]) -> list[SourceFile]:
    """All ``files``, in their order, with ``blocks`` applied; every block refers to the files as given.

    Raises:
        EditError: the first block with a foreign path, text that is not there or not unique, or lines that an earlier
            block replaces; then the first file with a new syntax error (its last block is named).
    """
    contents = {file.path: file.content for file in files}
    found: dict[str, list[tuple[int, int, int]]] = {}
    for index, block in enumerate(blocks):
        if block.path not in contents:
            raise EditError(index, block.path, "unknown_path", "the file is none of the given ones.")
        found.setdefault(block.path, []).append((*_place(index, block, contents[block.path]), index))
    return [_edited(file, sorted(found[file.path]), blocks) if file.path in found else file for file in files]


def syntax_of(path: str, content: str) -> Syntax:
    """Which parser vouches for edits of the file."""
    return SyntaxGate(path, content.encode()).syntax


def _place(index: int, block: Block, content: str) -> tuple[int, int]:
    if block.search.endswith("\n") and block.replace and not block.replace.endswith("\n"):
        raise EditError(index, block.path, "not_lines", "REPLACE must be whole lines.")
    if not content and not block.search:
        return 0, 0
    return locate_exact(index, block.path, content, block.search)


def _edited(file: SourceFile, places: list[tuple[int, int, int]], blocks: Sequence[Block]) -> SourceFile:
    changes: list[Change] = []
    pieces: list[str] = []
    position = size = 0
    previous: tuple[int, int] | None = None
    for start, end, index in places:
        if start < position or (start, end) == previous:
            raise EditError(index, file.path, "overlapping", "it replaces lines that another block replaces.")
        kept, replace = file.content[position:start], blocks[index].replace
        size += len(kept.encode())
        changes.append(Change(size, size + len(file.content[start:end].encode()), replace.encode()))
        size = changes[-1].end
        pieces += [kept, replace]
        position, previous = end, (start, end)
    if not SyntaxGate(file.path, file.content.encode()).holds(changes):
        last = max(index for _, _, index in places)
        raise EditError(last, file.path, "syntax", "the edited file has a syntax error that it did not have before.")
    return SourceFile(file.path, "".join([*pieces, file.content[position:]]))
