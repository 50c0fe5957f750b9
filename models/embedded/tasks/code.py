"""A parsed Python file, and the one place where line edits are made from positions in it.

Only what generators need: functions, names with their positions, replacing spans, inserting
lines. ASCII files only, so that byte and character columns agree.
"""

import ast
import io
import keyword
import random
import re
import tokenize
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from dovetail.models.embedded.blocks import LineEdit

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Task:
    """One instruction on one file and the line edits that carry it out."""

    kind: str
    instruction: str
    edits: tuple[LineEdit, ...]


class Code:
    """A file that parses."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.lines = text.splitlines(keepends=True)
        self.tree = ast.parse(text)
        self.nodes = list(ast.walk(self.tree))

    @cached_property
    def functions(self) -> list[Function]:
        """Functions and methods except dunders."""
        found = [n for n in self.nodes if isinstance(n, Function)]
        return [f for f in found if not f.name.startswith("__")]

    @cached_property
    def classes(self) -> list[ast.ClassDef]:
        return [n for n in self.nodes if isinstance(n, ast.ClassDef)]

    @cached_property
    def _tokens(self) -> list[tokenize.TokenInfo]:
        return list(tokenize.generate_tokens(io.StringIO(self.text).readline))

    @cached_property
    def names(self) -> dict[str, list[tuple[int, int, bool]]]:
        """Name to its places: line (1-based), column, whether a dot stands before it."""
        places: dict[str, list[tuple[int, int, bool]]] = defaultdict(list)
        before = ""
        for token in self._tokens:
            if token.type == tokenize.NAME and not keyword.iskeyword(token.string):
                places[token.string].append((*token.start, before == "."))
            before = token.string
        return places

    @cached_property
    def keyword_places(self) -> set[tuple[int, int]]:
        """Where the name in `f(name=...)` stands."""
        return {(n.lineno, n.col_offset) for n in self.nodes if isinstance(n, ast.keyword)}

    @cached_property
    def formatted(self) -> str:
        """The text of all f-strings, in which names are not tokens before Python 3.12."""
        strings = [t.string for t in self._tokens if t.type == tokenize.STRING]
        return "\n".join(s for s in strings if "f" in s[: re.search(r"['\"]", s).start()].lower())  # type: ignore[union-attr]

    def in_formatted(self, name: str) -> bool:
        return name in self.formatted and re.search(rf"\b{re.escape(name)}\b", self.formatted) is not None

    def formatted_places(self, name: str) -> list[tuple[int, int]] | None:
        """Where a name stands in the fields of one-line f-strings; None where it also stands elsewhere in one."""
        places: list[tuple[int, int]] = []
        for token in self._tokens:
            if token.type != tokenize.STRING or not (opening := re.match(r"\w*['\"]", token.string)):
                continue
            if "f" not in opening.group().lower():
                continue
            found = [m.start() for m in re.finditer(rf"\b{re.escape(name)}\b", token.string)]
            if not found:
                continue
            plain = token.string.replace("{{", "  ").replace("}}", "  ")
            fields = [m.span(1) for m in re.finditer(r"\{([\w.,()\[\] +*/-]+)[}:!]", plain)]
            if token.start[0] != token.end[0] or not all(any(a <= at < b for a, b in fields) for at in found):
                return None
            places += [(token.start[0], token.start[1] + at) for at in found]
        return places

    def rename(self, old: str, new: str, places: Iterable[tuple[int, int]]) -> tuple[LineEdit, ...]:
        """Replace a name at these places."""
        columns: dict[int, list[int]] = defaultdict(list)
        for line, column in places:
            columns[line].append(column)
        edits = []
        for line, starts in sorted(columns.items()):
            content = self.lines[line - 1]
            for start in sorted(starts, reverse=True):
                content = content[:start] + new + content[start + len(old) :]
            edits.append(LineEdit(line - 1, line, (content,)))
        return tuple(edits)

    def replace_node(self, node: ast.expr | ast.stmt, new: str) -> tuple[LineEdit, ...] | None:
        """Replace a node that stands on one line."""
        if node.end_lineno != node.lineno or node.end_col_offset is None:
            return None
        return self.replace_span(node.lineno, node.col_offset, node.end_col_offset, new)

    def replace_span(self, line: int, start: int, end: int, new: str) -> tuple[LineEdit, ...]:
        content = self.lines[line - 1]
        return (LineEdit(line - 1, line, (content[:start] + new + content[end:],)),)

    def source(self, node: ast.AST) -> str:
        return ast.get_source_segment(self.text, node) or ""

    def insert(self, line: int, *new: str) -> tuple[LineEdit, ...]:
        """Insert lines before the 0-based line."""
        return (LineEdit(line, line, new),)

    def is_method(self, function: Function) -> bool:
        return any(function in c.body for c in self.classes)

    def owner(self, function: Function) -> str | None:
        return next((c.name for c in self.classes if function in c.body), None)

    def header_end(self, function: Function) -> int | None:
        """The 0-based line after the header, if the body starts on a line of its own."""
        first = function.body[0]
        before = self.lines[first.lineno - 2].rstrip() if first.lineno > function.lineno else ""
        return first.lineno - 1 if before.endswith(":") else None

    def one_line_header(self, function: Function) -> str | None:
        """The header, if it stands on one line."""
        line = self.lines[function.lineno - 1]
        return line if line.rstrip().endswith(":") and self.header_end(function) == function.lineno else None

    def body_start(self, function: Function) -> int | None:
        """The 0-based line of the first statement that is not the docstring."""
        body = function.body
        if ast.get_docstring(function, clean=False) is None:
            return self.header_end(function)
        return body[1].lineno - 1 if len(body) > 1 and body[0].end_lineno == body[1].lineno - 1 else None

    def indent(self, function: Function) -> str:
        return " " * function.body[0].col_offset


def parameters(function: Function, skip_self: bool = True) -> list[ast.arg]:
    """All plain parameters, without self and cls."""
    spec = function.args
    every = [*spec.posonlyargs, *spec.args, *spec.kwonlyargs]
    return [a for a in every if not (skip_self and a.arg in ("self", "cls"))]


def phrase(rng: random.Random, templates: tuple[str, ...], **slots: str) -> str:
    """An instruction: one template, names quoted or not, small differences in style."""
    quote = rng.choice(("", "", "", "`", "`", "'"))
    template = rng.choice(templates)
    filled = template.format(**{k: v if k.endswith("_") else f"{quote}{v}{quote}" for k, v in slots.items()})
    roll = rng.random()
    if roll < 0.3:
        filled = filled[0].lower() + filled[1:] if not template.startswith("{") else filled
    elif roll < 0.36:
        filled = f"Please {filled[0].lower()}{filled[1:]}" if not template.startswith("{") else filled
    return filled + rng.choice(("", "", "", "", "."))


def words(name: str) -> str:
    """An identifier as words: `fetch_user` -> `fetch user`, `HttpClient` -> `http client`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).replace("_", " ").strip().lower()
