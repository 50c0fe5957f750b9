"""Small mistakes made in Python code: one operator, constant or argument of one function changed, the rest of the text kept."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import NamedTuple

_COMPARED = {
    "==": "!=", "!=": "==", "<": "<=", "<=": "<", ">": ">=", ">=": ">",
    "is not": "is", "is": "is not", "not in": "in", "in": "not in",
}  # fmt: skip
_OPERATOR = re.compile(r"\b(?:is\s+not|is|not\s+in|in|and|or)\b|[=!<>]=|[<>+-]")


class Mutant(NamedTuple):
    """A file with one mistake in it."""

    path: str
    function: str
    line: int
    what: str
    text: str


class _Text:
    """A source text by the places that syntax trees give: lines from 1, columns in bytes."""

    def __init__(self, text: str) -> None:
        self._raw = text.encode()
        self._starts = [0]
        for line in self._raw.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))

    def begin(self, node: ast.expr) -> int:
        return self._starts[node.lineno - 1] + node.col_offset

    def end(self, node: ast.expr) -> int:
        assert node.end_lineno is not None and node.end_col_offset is not None
        return self._starts[node.end_lineno - 1] + node.end_col_offset

    def of(self, node: ast.expr) -> str:
        return self._raw[self.begin(node) : self.end(node)].decode()

    def put(self, begin: int, end: int, new: str) -> str:
        return (self._raw[:begin] + new.encode() + self._raw[end:]).decode()

    def operator(self, left: ast.expr, right: ast.expr) -> tuple[int, int, str]:
        """The operator between two operands: its place and its words."""
        begin, end = self.end(left), self.begin(right)
        found = _OPERATOR.search(self._raw[begin:end].decode())
        assert found is not None
        return begin + found.start(), begin + found.end(), " ".join(found[0].split())


def mutants(path: str, source: str) -> Iterator[Mutant]:
    """Every mutant of a file's functions, in the order of its syntax tree; each parses."""
    text = _Text(source)
    for function, name in _functions(ast.parse(source), ""):
        for node in ast.walk(function):
            if isinstance(node, ast.expr):
                for what, made in _changed(text, node):
                    yield Mutant(path, name, node.lineno, what, made)


def _changed(text: _Text, node: ast.expr) -> Iterator[tuple[str, str]]:
    match node:
        case ast.Compare(left=left, comparators=[right, *_]):
            begin, end, old = text.operator(left, right)
            yield f"{old} became {_COMPARED[old]}", text.put(begin, end, _COMPARED[old])
        case ast.BinOp(left=left, right=right, op=ast.Add() | ast.Sub()):
            begin, end, old = text.operator(left, right)
            new = "-" if old == "+" else "+"
            yield f"{old} became {new}", text.put(begin, end, new)
        case ast.BoolOp(values=[left, right, *_]):
            begin, end, old = text.operator(left, right)
            new = "or" if old == "and" else "and"
            if len(node.values) == 2:
                yield f"{old} became {new}", text.put(begin, end, new)
        case ast.Constant(value=value) if type(value) is int and text.of(node) == str(value):
            yield f"{value} became {value + 1}", text.put(text.begin(node), text.end(node), str(value + 1))
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield "not was lost", text.put(text.begin(node), text.end(node), text.of(operand))
        case ast.Call(args=[ast.Name() as first, ast.Name() as second], keywords=[]) if first.id != second.id:
            swapped = f"{second.id}, {first.id}"
            yield "arguments were swapped", text.put(text.begin(first), text.end(second), swapped)


def _functions(tree: ast.AST, owner: str) -> Iterator[tuple[ast.AST, str]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node, f"{owner}{node.name}"
        elif isinstance(node, ast.ClassDef):
            yield from _functions(node, f"{owner}{node.name}.")
