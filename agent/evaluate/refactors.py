"""Renames and moves of functions that bring examples, by ``dovetail agent``: what has to stay as it was is compared by syntax tree.

A right rename is the same code with one name for another, in every file. A right move leaves every definition as it was, the
moved one in the other file. In both, the examples hold, asked for through a file that only uses the function.
"""

from __future__ import annotations

import ast
import keyword
import random
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dovetail.agent.client import DovetailClient
from dovetail.agent.evaluate.debugging import COMMAND, write
from dovetail.agent.evaluate.pieces import Piece, judged, test_file
from dovetail.agent.evaluate.sources import parsed
from dovetail.agent.evaluate.statistics import Metric, share
from dovetail.agent.evaluate.suite import Sample, Task
from dovetail.agent.loop import Agent, RunLimits, Settings

_HERE, _THERE, _USES = "here.py", "there.py", "uses.py"
_STAYS = "def stays(value):\n    return [value]\n"
_OTHER = "def other(value):\n    return (value,)\n"
_NEW = ("computed", "prepared", "resolved", "worked_out")


@dataclass(frozen=True)
class Refactors:
    """The suite."""

    tasks: Sequence[Task]
    name: str = "refactors"
    about: str = "Functions with callers renamed, and moved to another file, by dovetail agent: tests and every other definition stay."
    parallel: int = 1

    def ask(self, client: DovetailClient, task: Task) -> Sample:
        """One of them."""
        files: dict[str, str] = dict(task["files"])
        with tempfile.TemporaryDirectory(prefix="dovetail-eval-") as folder:
            root = Path(folder) / "project"
            write(root, files)
            limits = RunLimits(steps=60, tokens=200_000, seconds=300)
            settings = Settings(task["instruction"], root, check_seconds=30, checks=(COMMAND,), limits=limits)
            report = Agent(settings, client, Path(folder) / "run.jsonl").run()
        written = report.is_complete and report.may_be_written and bool(report.changes)
        after = dict(files)
        for path, change in report.changes.items() if written else ():
            after[path] = change.after or ""
        held = written and as_it_was(task, after)
        return {
            "kind": task["kind"],
            "outcome": report.outcome,
            "written": written,
            "tests": written and all(judged([(joined(after), task["tests"])])[0]),
            "held": held,
        }

    def metrics(self, samples: Sequence[Sample]) -> list[Metric]:
        """Shares of all, of what would be written, and of each kind."""
        written = [each for each in samples if each["written"]]
        done = {kind: [each["held"] and each["tests"] for each in samples if each["kind"] == kind] for kind in _KINDS}
        made = [
            share("done", [each["held"] and each["tests"] for each in samples], "refactors done, all else as it was"),
            *(share(f"done_{kind}", done[kind], f"of these: {kind}") for kind in _KINDS),
        ]
        if written:
            made += [
                share("tests_kept", [each["tests"] for each in written], "of what it would write: the examples hold"),
                share("rest_kept", [each["held"] for each in written], "of what it would write: all else is as it was"),
            ]
        return made


_KINDS = ("rename", "move")


def refactor_tasks(found: Sequence[Piece], count: int, seed: int) -> list[Task]:
    """``count`` tasks, renames and moves in turn."""
    made: list[Task] = []
    for piece in (each for each in found for _ in _KINDS):
        if len(made) == count:
            break
        kind = _KINDS[len(made) % len(_KINDS)]
        new = f"{random.Random(f'{seed} {piece.name}').choice(_NEW)}_{piece.name.strip('_')}"
        if keyword.iskeyword(new) or new in piece.module:
            continue
        if kind == "rename":
            instruction = f"Rename the function {piece.name} to {new}"
        else:
            instruction = f"Move the function {piece.name} from {_HERE} to {_THERE}; {_USES} imports it from there"
        made.append({"kind": kind, "old": piece.name, "new": new, "instruction": instruction, **_project(piece)})
    return made


def _project(piece: Piece) -> dict[str, Any]:
    """A file with the function, one that uses it, one that has nothing to do with it, and tests through the user."""
    tests = tuple(ast.unparse(_Calls(piece.name).visit(parsed(test))) for test in piece.tests)
    used = Piece(piece.name, piece.imports, piece.text, tests)
    files = {
        _HERE: f"{piece.module}\n\n{_STAYS}",
        _THERE: _OTHER,
        _USES: f"from here import {piece.name}\n\n\ndef call(*given, **named):\n    return {piece.name}(*given, **named)\n",
        "test_uses.py": test_file(used, f"{piece.imports}from uses import call"),
    }
    return {"files": files, "tests": [piece.imports + test for test in tests]}


def as_it_was(task: Task, after: Mapping[str, str]) -> bool:
    """Whether nothing has changed but what was asked for."""
    try:
        trees = {path: parsed(text) for path, text in after.items()}
        before = {path: parsed(text) for path, text in task["files"].items()}
    except (SyntaxError, ValueError, RecursionError):
        return False
    if task["kind"] == "rename":
        renamed = {path: _Renamed(task["old"], task["new"]).visit(tree) for path, tree in before.items()}
        return {path: _plain(tree) for path, tree in renamed.items()} == {
            path: _plain(tree) for path, tree in trees.items()
        }
    wanted, got = _definitions(before), _definitions(trees)
    moved = wanted.pop((_HERE, task["old"]))
    return got == {**wanted, (_THERE, task["old"]): moved}


def joined(files: Mapping[str, str]) -> str:
    """The project as one module, to run tests in: each file by its name, in memory."""
    modules = {path.removesuffix(".py"): text for path, text in files.items() if not path.startswith("test_")}
    return (
        "import importlib.abc, importlib.util, sys\n"
        f"_files = {modules!r}\n"
        "class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        return importlib.util.spec_from_loader(name, self) if name in _files else None\n"
        "    def exec_module(self, module):\n"
        "        exec(_files[module.__name__], module.__dict__)\n"
        "for _name in _files:\n    sys.modules.pop(_name, None)\n"
        "sys.meta_path.insert(0, _Finder())\n"
        "from uses import call\n"
    )


def _definitions(trees: Mapping[str, ast.Module]) -> dict[tuple[str, str], str]:
    """Every definition by file and name; imports may change in a move."""
    return {
        (path, node.name): _plain(node)
        for path, tree in trees.items()
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }


def _plain(tree: ast.AST) -> str:
    """What a tree says; docstrings, in which names may stand, are left out."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.dump(tree)


class _Renamed(ast.NodeTransformer):
    """One name for another, wherever it is code."""

    def __init__(self, old: str, new: str) -> None:
        self._old, self._new = old, new

    def visit_Name(self, node: ast.Name) -> ast.Name:
        """A use."""
        return ast.Name(self._new, node.ctx) if node.id == self._old else node

    def visit_alias(self, node: ast.alias) -> ast.alias:
        """An import."""
        return ast.alias(self._new, node.asname) if node.name == self._old else node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        """The definition."""
        self.generic_visit(node)
        node.name = self._new if node.name == self._old else node.name
        return node


class _Calls(ast.NodeTransformer):
    """The function's uses as those of ``call``."""

    def __init__(self, name: str) -> None:
        self._name = name

    def visit_Name(self, node: ast.Name) -> ast.Name:
        """A use."""
        return ast.Name("call", node.ctx) if node.id == self._name else node
