"""Python's own parser as a judge of changed texts, asked about the changed top-level statements only where that is exact.

Whole statements that parse by themselves parse one after the other: a file is a sequence of statements. So if what lies
between the statements around a change parses alone, the file does. If it does not, the whole file is asked, since the
change may reach further (an opened string). Knows no tree-sitter.
"""

from __future__ import annotations

import ast
import warnings
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence

from dovetail.serve.constrain.syntax.change import Change, changed


class PythonJudge:
    """Judges changed versions of one original. ``sound``: the original itself parses; if not, this judge has no say."""

    def __init__(self, original: bytes) -> None:
        self._original = original
        module = _parsed(original)
        self.sound = module is not None
        self._starts = _statement_starts(original, module) if module else [0]

    def accepts(self, changes: Sequence[Change]) -> bool:
        """Whether Python parses the original with ``changes`` (sorted, disjoint)."""
        content = changed(self._original, changes)
        if self.sound and not _reads_differently(content):
            pieces = self._changed_statements(changes)
            if all(piece is not None and _parsed(piece) is not None for piece in pieces):
                return True
        return _parsed(content) is not None

    def _changed_statements(self, changes: Sequence[Change]) -> Iterator[str | None]:
        """The new text between the statement starts around each change; changes that share a statement go together.

        None where that text would run on into the statement behind it.
        """
        position = 0
        while position < len(changes):
            start = self._start_of(changes[position].start)
            last, end = position, self._next_start(changes[position].end)
            while last + 1 < len(changes) and self._start_of(changes[last + 1].start) < end:
                last += 1
                end = self._next_start(changes[last].end)
            piece = changed(self._original, changes[position : last + 1], start, end)
            at_end = end == len(self._original) and last + 1 == len(changes)
            whole = not piece or piece.endswith(b"\n") or at_end
            yield piece.decode() if whole else None
            position = last + 1

    def _start_of(self, position: int) -> int:
        return self._starts[bisect_right(self._starts, position) - 1]

    def _next_start(self, position: int) -> int:
        index = bisect_left(self._starts, position)
        return self._starts[index] if index < len(self._starts) else len(self._original)


def _statement_starts(original: bytes, module: ast.Module) -> list[int]:
    """Where the lines begin that top-level statements begin in; 0 first. Only 0 where lines are not as bytes see them."""
    if _reads_differently(original) or b"\r" in original.replace(b"\r\n", b"") or b"\x0c" in original:
        return [0]
    lines = original.split(b"\n")
    offsets = [0]
    for line in lines:
        offsets.append(offsets[-1] + len(line) + 1)
    starts = {0}
    end = 0
    for statement in module.body:
        decorators = getattr(statement, "decorator_list", [])
        first = min(node.lineno for node in (statement, *decorators))
        if first > end and not lines[first - 2].rstrip(b"\r").endswith(b"\\"):  # Not behind a semicolon.
            starts.add(offsets[first - 1])
        end = statement.end_lineno or first
    return sorted(starts)


def _reads_differently(content: bytes) -> bool:
    """Whether something in the file decides how the rest is read: an encoding, a mark, a future that changes tokens."""
    if b"\xef\xbb\xbf" in content or b"barry_as_FLUFL" in content:
        return True
    return any(b"coding" in line for line in content.split(b"\n", 2)[:2])


def _parsed(content: bytes | str) -> ast.Module | None:
    """The tree; None if Python's parser refuses ``content`` or gives up on it (depth, memory, a null byte)."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(content)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
