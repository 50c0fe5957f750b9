"""Apply edits: all or none, after checking anew every guarantee that the constraint gave. Trusts no earlier check."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from typing import NamedTuple

from dovetail.serve.constrain.syntax.change import Change
from dovetail.serve.constrain.syntax.gate import SyntaxGate
from dovetail.serve.edit.block import BYTE_ORDER_MARK, Block, EditError, Edits, Operation, first_place, locate_exact
from dovetail.serve.edit.patch import unified_diff
from dovetail.serve.edit.paths import path_fault, path_taken
from dovetail.serve.edit.protected import protected_lines
from dovetail.serve.types import ProtectedLines, SourceFile, SyntaxGating

Judge = Callable[[list[Change]], bool]
"""Whether a file with changes parses with no error that it did not have before."""


class Applied(NamedTuple):
    """``pairs``: every file before and after; None where it is not there."""

    pairs: tuple[tuple[SourceFile | None, SourceFile | None], ...]

    @property
    def changed(self) -> tuple[SourceFile, ...]:
        """Every file that is new, moved or different."""
        return tuple(new for old, new in self.pairs if new is not None and new != old)

    @property
    def patch(self) -> str:
        """What ``git apply`` takes."""
        return "".join(unified_diff(old, new) for old, new in self.pairs)


def apply_edits(
    files: Sequence[SourceFile],
    edits: Edits,
    *,
    syntax: SyntaxGating = "each",
    protected: Sequence[ProtectedLines] = (),
    gates: Callable[[str, bytes], Judge] = lambda path, original: SyntaxGate(path, original).holds,
    unchecked: Container[str] = (),
) -> Applied:
    """Every file, and every new one behind them. ``syntax`` "off": nothing is parsed; nor is a file that is ``unchecked``.

    Raises:
        EditError: the first block with a foreign path, text that is not there or not unique, or lines that an earlier block
            replaces or that are protected; then the first operation that cannot be; then the first file with a new syntax
            error (its last block is named).
    """
    contents = {file.path: file.content for file in files}
    found: dict[str, list[tuple[int, int, int]]] = {}
    for index, block in enumerate(edits.blocks):
        if block.path not in contents:
            raise EditError(index, block.path, "unknown_path", "the file is none of the given ones.")
        found.setdefault(block.path, []).append((*_place(index, block, contents[block.path]), index))
    deleted, renamed, created = _operations(files, edits, protected)
    pairs: list[tuple[SourceFile | None, SourceFile | None]] = []
    for file in files:
        after: SourceFile | None = file
        if file.path in deleted:
            after = None
        elif file.path in found:
            asked = gates if syntax != "off" and file.path not in unchecked else None
            after = _edited(file, sorted(found[file.path]), edits.blocks, protected, asked)
        if after is not None and file.path in renamed:
            after = SourceFile(renamed[file.path], after.content)
        pairs.append((file, after))
    for new in created:
        whole = [Change(0, 0, new.content.encode())]
        if syntax != "off" and not gates(new.path, b"")(whole):
            raise EditError(0, new.path, "syntax", "the new file has a syntax error.")
        pairs.append((None, new))
    return Applied(tuple(pairs))


def _operations(
    files: Sequence[SourceFile], edits: Edits, protected: Sequence[ProtectedLines]
) -> tuple[set[str], dict[str, str], list[SourceFile]]:
    given = {file.path: file for file in files}
    edited = {block.path for block in edits.blocks}
    taken = set(given)
    deleted: set[str] = set()
    renamed: dict[str, str] = {}
    created: list[SourceFile] = []
    for number, operation in enumerate(edits.operations):
        path = operation.path
        if operation.kind != "create":
            if path not in given:
                raise EditError(number, path, "unknown_path", "the file is none of the given ones.")
            if path in deleted or path in renamed or (operation.kind == "delete" and path in edited):
                raise EditError(number, path, "whole_file", "the file is edited, deleted or renamed already.")
        if operation.kind == "delete":
            if protected_lines(given[path], protected):
                raise EditError(number, path, "protected", "the file has protected lines.")
            deleted.add(path)
            continue
        to = _new_path(number, operation, taken)
        taken.add(to)
        if operation.kind == "rename":
            renamed[path] = to
        else:
            created.append(SourceFile(path, operation.content))
    return deleted, renamed, created


def _new_path(number: int, operation: Operation, taken: set[str]) -> str:
    path = operation.path if operation.kind == "create" else operation.to
    fault = path_fault(path)
    if fault is not None:
        raise EditError(number, path, "invalid_path", f"the new path {fault}.")
    other = path_taken(path, taken)
    if other is not None:
        raise EditError(
            number, path, "path_taken", f"{other!r} is there already; edit that file, or take another path."
        )
    return path


def _place(index: int, block: Block, content: str) -> tuple[int, int]:
    cut_short = block.search.endswith("\n") and block.replace and not block.replace.endswith("\n")
    if cut_short and not content.endswith(block.search):  # Only the file's last line may do without a line feed.
        raise EditError(index, block.path, "not_lines", "REPLACE must be whole lines.")
    begin = first_place(content)
    if len(content) == begin and not block.search:
        return begin, begin
    if not block.anchored:
        return locate_exact(index, block.path, content, block.search)
    starts = [0]
    for line in content.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    if not (1 <= block.start_line < len(starts) + 1 and block.start_line - 1 <= block.end_line < len(starts)):
        raise EditError(
            index, block.path, "not_found", f"the file has no lines {block.start_line} to {block.end_line}."
        )
    start, end = (min(starts[line], len(content)) for line in (block.start_line - 1, block.end_line))
    start = begin if start == 0 and not block.search.startswith(BYTE_ORDER_MARK) else start
    end = max(start, end)
    if content[start:end] != block.search:
        raise EditError(index, block.path, "not_found", f"lines {block.start_line} to {block.end_line} read otherwise.")
    return start, end


def _edited(
    file: SourceFile,
    places: list[tuple[int, int, int]],
    blocks: Sequence[Block],
    protected: Sequence[ProtectedLines],
    gates: Callable[[str, bytes], Judge] | None,
) -> SourceFile:
    changes: list[Change] = []
    pieces: list[str] = []
    position = size = 0
    previous: tuple[int, int] | None = None
    kept_lines = _protected_characters(file, protected)
    for start, end, index in places:
        if start < position or (start, end) == previous:
            raise EditError(index, file.path, "overlapping", "it replaces lines that another block replaces.")
        if any(start < stop and begin < end for begin, stop in kept_lines):
            _check_kept(index, file, start, end, blocks[index].replace, kept_lines)
        kept, replace = file.content[position:start], blocks[index].replace
        size += len(kept.encode())
        changes.append(Change(size, size + len(file.content[start:end].encode()), replace.encode()))
        size = changes[-1].end
        pieces += [kept, replace]
        position, previous = end, (start, end)
    if gates is not None and not gates(file.path, file.content.encode())(changes):
        last = max(index for _, _, index in places)
        raise EditError(last, file.path, "syntax", "the edited file has a syntax error that it did not have before.")
    return SourceFile(file.path, "".join([*pieces, file.content[position:]]))


def _protected_characters(file: SourceFile, protected: Sequence[ProtectedLines]) -> list[tuple[int, int]]:
    starts = [0]
    for line in file.content.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    size = len(file.content)  # What comes behind a protected last line without a line feed leaves it as it is.
    begin = first_place(file.content)
    return [
        (max(begin, starts[first - 1]), min(starts[last], size)) for first, last in protected_lines(file, protected)
    ]


def _check_kept(
    index: int, file: SourceFile, start: int, end: int, replace: str, stretches: Sequence[tuple[int, int]]
) -> None:
    """A block over protected lines may only be the whole file, with those lines in it as they were, in their order."""
    texts = [file.content[begin:stop] for begin, stop in stretches]
    whole = start <= first_place(file.content) and end == len(file.content)
    if not whole or not keeps_lines(replace, texts):
        raise EditError(index, file.path, "protected", "it touches protected lines; leave them out.")


def keeps_lines(text: str, stretches: Sequence[str]) -> bool:
    """Whether ``text`` holds every one of ``stretches`` as whole lines, one behind the other."""
    position = 0
    for stretch in stretches:
        wanted = stretch if stretch.endswith("\n") else stretch + "\n"
        padded = text if text.endswith("\n") else text + "\n"
        found = ("\n" + padded).find("\n" + wanted, position)
        if found < 0:
            return False
        position = found + len(wanted)
    return True
