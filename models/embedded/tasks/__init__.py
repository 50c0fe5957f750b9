"""Instructed edits, made from real and made-up files: the registry and the choice among them.

A document is a prompt's files plus several independent tasks on one of them. Every generator
returns line edits, so the answer and the expected new file come from the same source. Knows
nothing of tokens.
"""

import ast
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from dovetail.models.embedded import snippets
from dovetail.models.embedded.blocks import apply_lines, make_blocks
from dovetail.models.embedded.sources import SourceFile
from dovetail.models.embedded.tasks import bugs, rename, structure, values
from dovetail.models.embedded.tasks.code import Code, Task

Generator = Callable[[Code, random.Random], Task | None]

GENERATORS: Final[tuple[tuple[Generator, float], ...]] = (
    (rename.rename_function, 5.0),
    (rename.rename_variable, 1.6),
    (rename.rename_parameter, 1.6),
    (rename.rename_class, 1.4),
    (rename.rename_constant, 1.1),
    (values.change_value, 1.8),
    (values.change_default, 2.2),
    (values.change_literal, 1.2),
    (values.change_return, 1.2),
    (values.change_operator, 0.9),
    (values.change_error, 0.4),
    (structure.add_docstring, 2.6),
    (structure.remove_docstring, 0.4),
    (structure.add_parameter, 1.6),
    (structure.add_guard, 1.6),
    (structure.add_print, 1.2),
    (structure.delete_statement, 1.2),
    (structure.annotate, 1.3),
    (structure.add_import, 0.4),
    (structure.add_function, 0.4),
    (structure.add_comment, 0.7),
    (structure.no_change, 0.1),
)


@dataclass(frozen=True)
class Branch:
    """One task on a document, with its answer and what the answer must produce."""

    kind: str
    instruction: str
    answer: str
    expected: str


@dataclass(frozen=True)
class Document:
    """Files as a prompt shows them, and independent tasks on the file `target`."""

    files: tuple[tuple[str, str], ...]
    target: int
    branches: tuple[Branch, ...]


def make_path(rng: random.Random) -> str:
    """A plausible path of a Python file."""
    folder = rng.choice(("", "", "", "src/", "app/", "lib/", "src/app/", "core/", f"{rng.choice(snippets.NOUNS)}/"))
    name = rng.choice(
        [
            *snippets.NOUNS,
            "calc",
            "main",
            "utils",
            "helpers",
            "math_utils",
            "test",
            "config",
            "models",
            "views",
            "shapes",
        ]
    )
    return f"{folder}{name}{rng.choice(('', '', '', 's', '_utils', '_' + rng.choice(snippets.NOUNS)))}.py"


def cut(source: SourceFile, tree: ast.Module, rng: random.Random, limit: int) -> str | None:
    """A contiguous run of top-level statements, or one function or class, of at most `limit` characters."""
    lines = source.text.splitlines(keepends=True)
    body = tree.body
    if rng.random() < 0.35:
        nodes: list[ast.stmt] = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.ClassDef)]
        if not nodes:
            return None
        node = rng.choice(nodes)
        piece = lines[_first_line(node) - 1 : node.end_lineno]
        text = "".join(line[node.col_offset :] if line.strip() else "\n" for line in piece)
        return text if 60 <= len(text) <= limit else None
    start = rng.randrange(len(body)) if rng.random() < 0.75 else 0
    end = start
    size = rng.randint(150, limit)
    first = _first_line(body[start])
    while end + 1 < len(body) and sum(map(len, lines[first - 1 : body[end + 1].end_lineno])) <= size:
        end += 1
    text = "".join(lines[first - 1 : body[end].end_lineno])
    return text if 60 <= len(text) <= limit else None


def _first_line(node: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(d.lineno for d in decorators)])


class DocumentMaker:
    """Draws documents from a corpus and from made-up files. Deterministic for a given rng."""

    def __init__(self, sources: tuple[SourceFile, ...], made_up: float = 0.5) -> None:
        self.sources = sources
        self.made_up = made_up
        self._trees: dict[str, ast.Module] = {}

    def file(self, rng: random.Random, limit: int) -> str:
        """A file that parses, ASCII, free of edit markers and of over-long lines."""
        while True:
            if rng.random() < self.made_up or not self.sources:
                text: str | None = snippets.make_file(rng)
            else:
                text = self._piece(rng, limit)
            if text is None or len(text) > limit or not text.isascii() or "=======" in text or "<<<<" in text:
                continue
            if not text.endswith("\n"):
                text += "\n"
            try:
                ast.parse(text)
            except SyntaxError:
                continue
            return text

    def _piece(self, rng: random.Random, limit: int) -> str | None:
        source = rng.choice(self.sources)
        key = f"{source.package}/{source.path}"
        if key not in self._trees:
            if len(self._trees) > 400:
                self._trees.clear()
            self._trees[key] = ast.parse(source.text)
        return cut(source, self._trees[key], rng, limit)

    def document(self, rng: random.Random, limit: int, branches: int) -> Document | None:
        """A document with up to `branches` tasks, or None where too few fit."""
        text = self.file(rng, limit)
        found: list[Task] = []
        roll = rng.random()
        broken = bugs.break_file(text, rng) if roll < 0.3 else bugs.break_meaning(text, rng) if roll < 0.4 else None
        if broken is not None:
            text = broken[0]
            found.append(broken[1])
        code = Code(text)
        generators, weights = zip(*GENERATORS, strict=True)
        for generator in rng.choices(generators, weights, k=branches * 3):
            task = generator(code, rng)
            if task is not None and len(found) < branches and all(task.instruction != t.instruction for t in found):
                found.append(task)
        files = [(make_path(rng), text)]
        if rng.random() < 0.12:
            files.insert(rng.randint(0, 1), (make_path(rng), self.file(rng, max(200, limit - len(text)))))
        if len({path for path, _ in files}) != len(files):
            return None
        target = next(i for i, (_, content) in enumerate(files) if content is text)
        made = [self._branch(files[target][0], text, task) for task in found]
        kept = tuple(b for b in made if b is not None)
        return Document(tuple(files), target, kept) if kept else None

    @staticmethod
    def _branch(path: str, text: str, task: Task) -> Branch | None:
        expected = apply_lines(text, task.edits)
        try:
            ast.parse(expected)
        except SyntaxError:
            return None
        answer = "".join(block.render() for block in make_blocks(path, text, task.edits))
        if len(answer) > 900 or (expected == text) != (not task.edits):
            return None
        return Branch(task.kind, task.instruction, answer, expected)
