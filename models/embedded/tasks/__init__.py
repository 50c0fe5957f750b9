"""Instructed edits, made from real and made-up files: the registry and the choice among them.

A document is a prompt's files plus several independent tasks on them. Every generator returns
line edits, so the answer and the expected new files come from the same source. Knows nothing of
tokens.
"""

import ast
import itertools
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from dovetail.models.embedded import names, snippets
from dovetail.models.embedded.blocks import apply_lines, make_blocks
from dovetail.models.embedded.sources import Shelf, SourceFile
from dovetail.models.embedded.tasks import bugs, rename, structure, unchanged, values
from dovetail.models.embedded.tasks.code import Code, Task

Generator = Callable[[Code, random.Random], Task | None]

GENERATORS: Final[tuple[tuple[Generator, float], ...]] = (
    (rename.rename_function, 5.0),
    (rename.rename_used, 5.0),
    (rename.rename_variable, 2.0),
    (rename.rename_parameter, 2.2),
    (rename.rename_class, 1.4),
    (rename.rename_constant, 1.1),
    (values.change_value, 1.8),
    (values.change_default, 2.8),
    (values.change_literal, 1.6),
    (values.change_return, 1.4),
    (values.change_operator, 1.2),
    (values.change_error, 0.8),
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
    (unchanged.no_change, 1.0),
)


@dataclass(frozen=True)
class Branch:
    """One task on a document, with its answer and the texts of all files after it."""

    kind: str
    instruction: str
    answer: str
    expected: tuple[str, ...]


@dataclass(frozen=True)
class Document:
    """Files as a prompt shows them, and independent tasks on them."""

    files: tuple[tuple[str, str], ...]
    branches: tuple[Branch, ...]


def _both(first: Task, second: Task, rng: random.Random) -> Task | None:
    """Two tasks on one file in one instruction, where they touch no line in common."""
    spans = sorted((e.start, max(e.end, e.start + 1)) for e in (*first.edits, *second.edits))
    if not (first.edits and second.edits) or any(a[1] >= b[0] for a, b in itertools.pairwise(spans)):
        return None
    one, two = first.instruction.rstrip("."), second.instruction.rstrip(".")
    lowered = two[0].lower() + two[1:] if two[:1].isalpha() and " " in two else two
    instruction = rng.choice((f"{one} and {lowered}", f"{one}. {two}.", f"{one}, then {lowered}", f"{one}\n{two}"))
    return Task("two changes", instruction, (*first.edits, *second.edits))


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


def _respelled(text: str, rng: random.Random) -> str:
    """A made-up file in which some functions have names of another shape."""
    if rng.random() < 0.5:
        return text
    for old in sorted({*re.findall(r"def ([a-z]\w{2,})\(", text)}):
        if rng.random() < 0.6:
            new = names.new_name(rng, old)
            if new not in text:
                text = re.sub(rf"\b{old}\b", new, text)
    return text


class DocumentMaker:
    """Draws documents from a corpus and from made-up files. Deterministic for a given rng."""

    def __init__(self, shelf: Shelf, made_up: float) -> None:
        self.shelf = shelf
        self.made_up = made_up
        self._trees: dict[str, ast.Module] = {}

    def file(self, rng: random.Random, limit: int) -> str:
        """A file that parses, ASCII, free of edit markers and of over-long lines."""
        while True:
            if rng.random() < self.made_up or not self.shelf.files:
                text: str | None = _respelled(snippets.make_file(rng), rng)
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
        source = self.shelf.draw(rng)
        key = f"{source.package}/{source.path}"
        if key not in self._trees:
            if len(self._trees) > 400:
                self._trees.clear()
            self._trees[key] = ast.parse(source.text)
        return cut(source, self._trees[key], rng, limit)

    def document(self, rng: random.Random, limit: int, branches: int) -> Document | None:
        """A document with up to `branches` tasks, or None where too few fit."""
        if rng.random() < 0.1:
            return self._pair(rng, limit, branches)
        text = self.file(rng, limit)
        found: list[Task] = []
        roll = rng.random()
        broken = bugs.break_file(text, rng) if roll < 0.3 else bugs.break_meaning(text, rng) if roll < 0.4 else None
        if broken is not None:
            text = broken[0]
            found.append(broken[1])
        found += self._tasks(Code(text), rng, branches - len(found))
        files = [(make_path(rng), text)]
        if rng.random() < 0.12:
            files.insert(rng.randint(0, 1), (make_path(rng), self.file(rng, max(200, limit - len(text)))))
        if len({path for path, _ in files}) != len(files):
            return None
        target = next(i for i, (_, content) in enumerate(files) if content is text)
        return _finished(files, [{target: task} for task in found])

    @staticmethod
    def _tasks(code: Code, rng: random.Random, count: int) -> list[Task]:
        """Up to `count` different tasks on a file; some are two in one."""
        generators, weights = zip(*GENERATORS, strict=True)
        found: list[Task] = []
        for generator in rng.choices(generators, weights, k=count * 3):
            task = generator(code, rng)
            if task is not None and found and rng.random() < 0.06:
                task = _both(found[-1], task, rng) or task
            if task is not None and len(found) < count and all(task.instruction != t.instruction for t in found):
                found.append(task)
        return found

    def _pair(self, rng: random.Random, limit: int, branches: int) -> Document | None:
        """Two files that share names, with renames over both and tasks on one."""
        for _ in range(8):
            paths = [make_path(rng), make_path(rng)]
            texts = self._halves(self.file(rng, limit), paths[0])
            if texts is None or paths[0] == paths[1]:
                continue
            if rng.random() < 0.5:
                texts.reverse()
                paths.reverse()
            codes = [Code(text) for text in texts]
            made = [rename.rename_over_files(codes, rng) for _ in range(branches)]
            over = {each[0]: dict(enumerate(each[1])) for each in made if each is not None}
            if not over:
                continue
            one = rng.randrange(2)
            alone = [{one: task} for task in self._tasks(codes[one], rng, 1)]
            alone = [each for each in alone if "rename" not in each[one].kind]
            return _finished(list(zip(paths, texts, strict=True)), [*over.values(), *alone])
        return None

    @staticmethod
    def _halves(text: str, path: str) -> list[str] | None:
        """A file as two, cut between top-level statements; the second imports what it needs of the first, if anything."""
        body = ast.parse(text).body
        if len(body) < 2:
            return None
        lines = text.splitlines(keepends=True)
        cut = min(_first_line(body[len(body) // 2]) - 1, len(lines))
        try:
            first, second = Code("".join(lines[:cut]).rstrip() + "\n"), Code("".join(lines[cut:]))
        except SyntaxError:  # two statements on the line of the cut
            return None
        shared = [
            n.name for n in first.tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef) and n.name in second.names
        ]
        head = (
            f"from {path.removesuffix('.py').replace('/', '.')} import {', '.join(shared[:3])}\n\n\n" if shared else ""
        )
        return [first.text, head + second.text]


def _finished(files: list[tuple[str, str]], found: list[dict[int, Task]]) -> Document | None:
    """The document, with those tasks whose answers are short and whose results parse."""
    made = [_branch(files, tasks) for tasks in found]
    kept = tuple(b for b in made if b is not None)
    return Document(tuple(files), kept) if kept else None


def _branch(files: list[tuple[str, str]], tasks: dict[int, Task]) -> Branch | None:
    """One instruction and what it means for each of the files it changes."""
    expected = [apply_lines(text, tasks[i].edits) if i in tasks else text for i, (_, text) in enumerate(files)]
    blocks = [make_blocks(*files[i], tasks[i].edits) for i in sorted(tasks)]
    answer = "".join(block.render() for made in blocks for block in made)
    task = next(iter(tasks.values()))
    try:
        for text in expected:
            ast.parse(text)
    except SyntaxError:
        return None
    unchanged_files = all(after == before for after, (_, before) in zip(expected, files, strict=True))
    if len(answer) > 900 or unchanged_files != (not any(t.edits for t in tasks.values())):
        return None
    return Branch(task.kind, task.instruction, answer, tuple(expected))
