"""Functions that bring examples of their use (doctests), each with its imports as a module of its own, and its examples as tests.

Which of them pass their tests alone is found out in the sandbox. Knows no model.
"""

from __future__ import annotations

import ast
import doctest
import json
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dovetail.agent.evaluate.sources import parsed, source_files
from dovetail.agent.problems import FileProblem
from dovetail.agent.sandbox.config import SandboxConfig
from dovetail.agent.sandbox.outcome import MIB, Limits
from dovetail.agent.sandbox.sandbox import Sandbox

MODULE = "piece"
_LONGEST = 2400
_MOST_TESTS = 8
_SECONDS = 2
_LIMITS = Limits(timeout=120.0, cpu=120, memory=1024 * MIB, processes=32, disk=256 * MIB)
_JUDGE = f'''
import contextlib, io, json, signal

def late(*_):
    raise TimeoutError

signal.signal(signal.SIGALRM, late)
told = open("told.jsonl", "w")
for module, tests in json.load(open("given.json")):
    passed = []
    for test in tests:
        signal.alarm({_SECONDS})
        try:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                space = {{"__name__": "{MODULE}"}}
                exec(module, space)
                exec(test, space)
            passed.append(True)
        except (Exception, SystemExit):
            passed.append(False)
        finally:
            signal.alarm(0)
    print(json.dumps(passed), file=told, flush=True)
'''


@dataclass(frozen=True)
class Piece:
    """``text``: the function; ``imports``: what its module has before it; ``tests``: each the statements of one test."""

    name: str
    imports: str
    text: str
    tests: tuple[str, ...]

    @property
    def module(self) -> str:
        """A file that holds it."""
        return f"{self.imports}\n\n{self.text}" if self.imports else self.text


def pieces(folder: Path, seed: int) -> list[Piece]:
    """The functions below ``folder`` whose examples hold where they stand alone, in an order that the seed decides.

    Raises:
        FileProblem: there are none.
    """
    found = [piece for path in source_files(folder, seed) for piece in _pieces(path)]
    random.Random(f"pieces {seed}").shuffle(found)
    kept = []
    for piece, passed in zip(found, judged([(each.module, each.tests) for each in found]), strict=True):
        holding = tuple(test for test, holds in zip(piece.tests, passed, strict=True) if holds)
        if holding:
            kept.append(Piece(piece.name, piece.imports, piece.text, holding))
    if not kept:
        raise FileProblem(f"{folder} holds no functions with examples (>>>) that hold where the function stands alone.")
    return kept


def judged(given: Sequence[tuple[str, Sequence[str]]]) -> list[list[bool]]:
    """Which tests each module passes, found out in the sandbox; none of a module that ends everything."""
    if not given:
        return []
    with tempfile.TemporaryDirectory(prefix="dovetail-eval-") as folder:
        (Path(folder) / "given.json").write_text(json.dumps(given), encoding="utf-8")
        (Path(folder) / "judge.py").write_text(_JUDGE, encoding="utf-8")
        sandbox = Sandbox.choose(SandboxConfig(Path(folder), limits=_LIMITS))
        sandbox.run((sys.executable, "-I", "judge.py"))
        kept = Path(folder) / "told.jsonl"
        whole = kept.read_text("utf-8").splitlines() if kept.is_file() else []
    told = [json.loads(line) for line in whole]
    return told + [[False] * len(tests) for _, tests in given[len(told) :]]


def test_file(piece: Piece, header: str) -> str:
    """The piece's tests as a module for unittest."""
    lines = ["import unittest", "", header, "", "", "class Examples(unittest.TestCase):"]
    for number, test in enumerate(piece.tests, 1):
        lines += [
            f"    def test_{number}(self):",
            *(f"        {line}" if line else "" for line in test.splitlines()),
            "",
        ]
    return "\n".join(lines).rstrip() + "\n"


def _pieces(path: Path) -> Iterator[Piece]:
    try:
        text = path.read_text("utf-8")
        tree = parsed(text)
    except (OSError, ValueError, SyntaxError, RecursionError):
        return
    lines = text.splitlines(keepends=True)
    imports = "".join(ast.unparse(node) + "\n" for node in tree.body if _is_import(node))
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef) or node.decorator_list or node.end_lineno is None:
            continue
        tests = _tests(ast.get_docstring(node) or "")
        body = "".join(lines[node.lineno - 1 : node.end_lineno]).rstrip("\n") + "\n"
        if tests and len(body) <= _LONGEST and body.isascii() and "\t" not in body:
            used = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
            yield Piece(node.name, _needed(imports, used | _names(tests)), body, tests)


def _is_import(node: ast.stmt) -> bool:
    if isinstance(node, ast.ImportFrom):
        return node.level == 0 and node.module != "__future__" and node.names[0].name != "*"
    return isinstance(node, ast.Import)


def _needed(imports: str, used: set[str]) -> str:
    """The imports that bring in a name that is used."""
    kept = []
    for node in parsed(imports).body:
        assert isinstance(node, ast.Import | ast.ImportFrom)
        if {(alias.asname or alias.name).split(".")[0] for alias in node.names} & used:
            kept.append(ast.unparse(node) + "\n")
    return "".join(kept)


def _names(tests: Sequence[str]) -> set[str]:
    return {each.id for test in tests for each in ast.walk(parsed(test)) if isinstance(each, ast.Name)}


def _tests(docstring: str) -> tuple[str, ...]:
    """One test for each example that shows a value: what stands before it, and an assertion on how the value is written."""
    try:
        examples = doctest.DocTestParser().get_examples(docstring)
    except ValueError:
        return ()
    before: list[str] = []
    made: list[str] = []
    for example in examples:
        source = example.source.strip()
        try:
            tree = parsed(source)
        except (SyntaxError, ValueError, RecursionError):
            continue
        if example.exc_msg is not None or example.options:
            continue
        if example.want and len(tree.body) == 1 and isinstance(tree.body[0], ast.Expr):
            value = ast.unparse(tree.body[0].value)
            made.append("\n".join([*before, f"assert repr({value}) == {example.want.rstrip(chr(10))!r}"]))
        elif not example.want:
            before.append(source)
    return tuple(made[:_MOST_TESTS])
