"""Small mistakes in one function: an operator, a comparison or a number changed, all other text kept. Runs nothing."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from dovetail.agent.evaluate.sources import parsed

_COMPARED = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==", "is": "is not", "in": "not in"}
_COMPUTED = {"+": "-", "-": "+", "*": "+", "//": "*", "/": "*", "%": "+", "<<": ">>", ">>": "<<"}
_JOINED = {"and": "or", "or": "and"}


def mutants(text: str) -> Iterator[str]:
    """Every such change of a function's text, in the order in which they stand there."""
    lines = text.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))

    def at(line: int | None, column: int | None) -> int:
        assert line is not None
        assert column is not None
        return starts[line - 1] + column

    changes: list[tuple[int, int, str]] = []
    for node in ast.walk(parsed(text)):
        if isinstance(node, ast.Constant) and type(node.value) is int:
            changes.append(
                (at(node.lineno, node.col_offset), at(node.end_lineno, node.end_col_offset), str(node.value + 1))
            )
            continue
        for left, right, words in _joints(node):
            first, last = at(left.end_lineno, left.end_col_offset), at(right.lineno, right.col_offset)
            between = text[first:last]
            word = between.strip(" ()\n\\")
            if word in words and between.count(word) == 1:
                start = first + between.index(word)
                changes.append((start, start + len(word), words[word]))
    for start, end, new in sorted(changes):
        yield text[:start] + new + text[end:]


def _joints(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr, dict[str, str]]]:
    """Neighbours with an operator between them."""
    if isinstance(node, ast.BinOp):
        yield node.left, node.right, _COMPUTED
    elif isinstance(node, ast.Compare) and len(node.ops) == 1:
        yield node.left, node.comparators[0], _COMPARED
    elif isinstance(node, ast.BoolOp) and len(node.values) == 2:
        yield node.values[0], node.values[1], _JOINED
