"""Instructed edits whose right result is known by rule: names, constants, defaults, docstrings. Judged by syntax tree."""

from __future__ import annotations

import ast
import copy
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from dovetail.agent.client import DovetailClient
from dovetail.agent.evaluate.sources import Snippet, parsed, parses
from dovetail.agent.evaluate.statistics import Metric, share
from dovetail.agent.evaluate.suite import Sample, Task

_MAX_TOKENS = 512
Change = tuple[str, ast.Module]
"""The instruction, and the tree that it leads to."""


@dataclass(frozen=True)
class Edits:
    """The suite."""

    tasks: Sequence[Task]
    name: str = "edits"
    about: str = "Instructed edits of one function: names, constants, defaults, docstrings."
    parallel: int = 4

    def ask(self, client: DovetailClient, task: Task) -> Sample:
        """One edit."""
        answer = client.edit(task["files"], task["instruction"], max_tokens=_MAX_TOKENS, temperature=0)
        after = {each["path"]: each["content"] for each in task["files"]}
        after |= {each["path"]: each["content"] for each in answer["files"]}
        return {
            "kind": task.get("kind", "edit"),
            "changed": bool(answer["files"]),
            "parses": all(parses(text) for path, text in after.items() if path.endswith(".py")),
            "done": all(same(after.get(path, ""), text) for path, text in task["after"].items()),
        }

    def metrics(self, samples: Sequence[Sample]) -> list[Metric]:
        """Shares of all, and of each kind."""
        kinds = sorted({each["kind"] for each in samples})
        made = [
            share("parses", [each["parses"] for each in samples], "files that parse after the edit"),
            share("changed", [each["changed"] for each in samples], "answers that change something"),
            share("done", [each["done"] for each in samples], "edits that are what was asked for"),
        ]
        return made + [
            share(f"done_{kind}", [each["done"] for each in samples if each["kind"] == kind], f"of these: {kind}")
            for kind in kinds
            if len(kinds) > 1
        ]


def edit_tasks(source: Iterable[Snippet], count: int, seed: int) -> list[Task]:
    """``count`` tasks, their kinds in turn."""
    made: list[Task] = []
    kinds = list(_KINDS.items())
    for snippet in source:
        if len(made) == count:
            break
        kind, change = kinds[len(made) % len(kinds)]
        changed = change(snippet, random.Random(f"{seed} {snippet.path} {snippet.name}"))
        if changed is None:
            continue
        files = [{"path": snippet.path, "content": snippet.text}]
        after = {snippet.path: ast.unparse(changed[1]) + "\n"}
        made.append({"kind": kind, "instruction": changed[0], "files": files, "after": after})
    return made


def same(text: str, wanted: str) -> bool:
    """Whether two files are one: as text, or to Python."""
    if text == wanted:
        return True
    try:
        return ast.dump(parsed(text)) == ast.dump(parsed(wanted))
    except (SyntaxError, ValueError, RecursionError):
        return False


def _rename(snippet: Snippet, chance: random.Random) -> Change | None:
    tree = parsed(snippet.text)
    stored = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    unsafe = {word for node in ast.walk(tree) for word in _elsewhere(node)}
    choices = sorted(name for name in stored - unsafe if len(name) > 2)
    if not choices:
        return None
    old = chance.choice(choices)
    new = chance.choice(("current", "chosen", "inner", "first")) + "_" + old
    if new in snippet.text:
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id == old:
            node.id = new
    return f"Rename the variable {old} to {new} in {snippet.name}.", tree


def _elsewhere(node: ast.AST) -> Iterator[str]:
    """Names that a rename of a local variable would have to think about."""
    if isinstance(node, ast.arg | ast.keyword):
        yield node.arg or ""
    elif isinstance(node, ast.Global | ast.Nonlocal):
        yield from node.names
    elif isinstance(node, ast.ExceptHandler | ast.FunctionDef | ast.ClassDef):
        yield node.name or ""
    elif isinstance(node, ast.alias):
        yield (node.asname or node.name).split(".")[0]


def _constant(snippet: Snippet, chance: random.Random) -> Change | None:
    tree = parsed(snippet.text)
    found = [each for each in ast.walk(tree) if isinstance(each, ast.Constant) and type(each.value) is int]
    alone = [each for each in found if sum(other.value == each.value for other in found) == 1]
    if not alone:
        return None
    node = chance.choice(alone)
    old, new = node.value, int(str(node.value)) + chance.choice((3, 7, 40))
    node.value = new
    return f"Change the number {old!r} to {new!r} in {snippet.name}.", tree


def _default(snippet: Snippet, chance: random.Random) -> Change | None:
    tree = parsed(snippet.text)
    function = tree.body[0]
    assert isinstance(function, ast.FunctionDef)
    arguments = function.args
    named = list(
        zip(arguments.args[-len(arguments.defaults) :] if arguments.defaults else [], arguments.defaults, strict=True)
    )
    simple = [(arg.arg, node) for arg, node in named if isinstance(node, ast.Constant)]
    if not simple:
        return None
    name, node = chance.choice(simple)
    node.value = _another(node.value)
    return f"Change the default of the parameter {name} of {snippet.name} to {node.value!r}.", tree


def _another(value: object) -> bool | int | str:
    """A value that is not this one."""
    if isinstance(value, str):
        return value + "_2"
    if isinstance(value, bool) or value is None:
        return not value
    return 64 if value != 64 else 65


def _docstring(snippet: Snippet, chance: random.Random) -> Change | None:
    tree = parsed(snippet.text)
    function = tree.body[0]
    assert isinstance(function, ast.FunctionDef)
    if ast.get_docstring(function) is not None:
        return None
    said = chance.choice(
        ("Return the result.", "Work on the given values.", "Do one step.", "Used by callers of this module.")
    )
    changed = copy.deepcopy(function)
    changed.body.insert(0, ast.Expr(ast.Constant(said)))
    return f'Add the docstring """{said}""" to {snippet.name}.', ast.Module([changed], [])


_KINDS: dict[str, Callable[[Snippet, random.Random], Change | None]] = {
    "rename": _rename,
    "constant": _constant,
    "default": _default,
    "docstring": _docstring,
}
