"""Code to make tasks from: functions of the Python files below a folder, chosen by a seed. By default Python's own library."""

from __future__ import annotations

import ast
import random
import sysconfig
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dovetail.agent.problems import FileProblem

_LARGEST_FILE = 400_000
_LINES = (6, 40)
_BYTES = (150, 2000)


@dataclass(frozen=True)
class Snippet:
    """A function that stands alone: ``text`` is a file of its own, which parses."""

    path: str
    name: str
    text: str


def default_source() -> Path:
    """Python's standard library, which every machine has."""
    return Path(sysconfig.get_paths()["stdlib"])


def snippets(folder: Path, seed: int) -> Iterator[Snippet]:
    """Functions at the left margin of the files below ``folder``, in an order that the seed and the files' names decide.

    Raises:
        FileProblem: there are none.
    """
    found = False
    for path in source_files(folder, seed):
        functions = list(_functions(path, path.relative_to(folder).as_posix()))
        if functions:
            found = True
            yield random.Random(f"{seed} {path.name}").choice(functions)
    if not found:
        raise FileProblem(f"{folder} holds no Python files with functions to make tasks from.")


def source_files(folder: Path, seed: int) -> list[Path]:
    """The Python files below ``folder`` that tasks are made from, in an order that the seed decides."""
    files = sorted(
        path
        for path in folder.rglob("*.py")
        if not {"site-packages", "test", "tests", "idlelib", "lib2to3"} & set(path.relative_to(folder).parts)
    )
    random.Random(f"files {seed}").shuffle(files)
    return files


def _functions(path: Path, label: str) -> Iterator[Snippet]:
    try:
        if path.stat().st_size > _LARGEST_FILE:
            return
        text = path.read_text("utf-8")
        tree = parsed(text)
    except (OSError, ValueError, SyntaxError, RecursionError):
        return
    lines = text.splitlines(keepends=True)
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef) or node.decorator_list or node.end_lineno is None:
            continue
        body = "".join(lines[node.lineno - 1 : node.end_lineno]).rstrip("\n") + "\n"
        if _LINES[0] <= body.count("\n") <= _LINES[1] and _BYTES[0] <= len(body) <= _BYTES[1] and "\t" not in body:
            yield Snippet(f"{path.stem}.py", node.name, body)


def parsed(text: str) -> ast.Module:
    """The syntax tree, without a word on odd escapes. Raises what ``ast.parse`` raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(text)


def parses(text: str) -> bool:
    """Whether Python takes it."""
    try:
        parsed(text)
    except (SyntaxError, ValueError, RecursionError):
        return False
    return True
