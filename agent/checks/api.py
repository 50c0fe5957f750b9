"""Rung: exported definitions stay, with signatures that old callers still fit."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from dovetail.agent.checks.case import Case
from dovetail.agent.checks.finding import Finding
from dovetail.agent.checks.python_api import ModulePair
from dovetail.agent.repo.facts import CONTAINERS, FileFacts, Symbol
from dovetail.agent.repo.testfiles import supports_tests


class PublicApi:
    """Compares the exported definitions of changed files; in Python also parameters, kinds, bases, attributes, re-exports."""

    name = "public API"

    def findings(self, case: Case) -> Sequence[Finding]:
        """What left the public API, and what changed in it so that old callers may not fit."""
        found: list[Finding] = []
        for path, change in case.changes.items():
            before, after = case.before.files.get(path), case.after.files.get(path)
            if before is None or not before.language or supports_tests(path, before.language):
                continue
            found += list(self._file(case, before, after, change.before or "", change.after or ""))
        return found

    def _file(
        self, case: Case, before: FileFacts, after: FileFacts | None, old_text: str, new_text: str
    ) -> Iterator[Finding]:
        there = exported(after) if after is not None else {}
        imported = {made.alias or made.name for made in after.imports} if after is not None else set()
        old_parameters, new_parameters = parameters(before, old_text), parameters(after, new_text)
        python = ModulePair(before.path, old_text, new_text) if before.language == "python" else None
        told: set[str] = set()
        for name, symbol in exported(before).items():
            if _granted(case, name):
                continue
            if name not in there:
                if name not in imported and not (python is not None and "." in name and python.has(name)):
                    told.add(name)
                    yield Finding(self.name, f"{name} is public and would be gone", before.path, symbol.line)
            elif name in old_parameters and name in new_parameters:
                broken = misfit(old_parameters[name], new_parameters[name])
                if broken:
                    told.add(name)
                    yield Finding(self.name, f"{name}: {broken}", before.path, there[name].line, there[name].signature)
            elif before.language != "python" and _bare(symbol) != _bare(there[name]):
                what = f"the signature of {name} would change from: {symbol.signature}"
                yield Finding(self.name, what, before.path, there[name].line, there[name].signature)
        if python is not None and after is not None:
            yield from self._python(case, before, after, python, told)

    def _python(
        self, case: Case, before: FileFacts, after: FileFacts, pair: ModulePair, told: set[str]
    ) -> Iterator[Finding]:
        """What definitions and parameters do not show: ``told`` names what was said already."""
        broken = {found.name: found.message for found in pair.breakages()}
        if before.path.endswith("__init__.py"):
            here = {made.alias or made.name for made in after.imports}
            gone = {made.alias or made.name for made in before.imports if made.alias or made.name} - here
            broken |= {name: f"{name} would not be re-exported any more" for name in gone if not pair.has(name)}
        for name, message in sorted(broken.items()):
            owners = {name.rsplit(".", number)[0] for number in range(1 + name.count("."))}
            private = any(part.startswith("_") and not part.endswith("__") for part in name.split("."))
            if not owners & told and not private and not _granted(case, name):
                yield Finding(self.name, message, before.path)


def _granted(case: Case, name: str) -> bool:
    """Whether the user allows a name to change, alone or with what it is in."""
    return bool({name, name.split(".")[0], name.rpartition(".")[2]} & set(case.grants.api))


def exported(facts: FileFacts) -> dict[str, Symbol]:
    """The definitions that others may use, by their qualified name."""
    containers = {""} | {
        symbol.qualified for symbol in facts.definitions if symbol.kind in CONTAINERS and symbol.exported
    }
    return {symbol.qualified: symbol for symbol in facts.definitions if symbol.exported and symbol.parent in containers}


def parameters(facts: FileFacts | None, text: str) -> dict[str, ast.arguments]:
    """The parameters of Python's functions and methods, by qualified name."""
    if facts is None or facts.language != "python":
        return {}
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return {}
    found: dict[str, ast.arguments] = {}

    def visit(node: ast.AST, parents: tuple[str, ...]) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                found[".".join((*parents, child.name))] = child.args
            elif isinstance(child, ast.ClassDef):
                visit(child, (*parents, child.name))
            elif not isinstance(child, ast.expr):
                visit(child, parents)

    visit(tree, ())
    return found


def misfit(old: ast.arguments, new: ast.arguments) -> str:
    """Why a call that fitted ``old`` may not fit ``new``; empty if every such call fits."""
    was, now = _named(old), _named(new)
    for name, (place, optional) in was.items():
        if name not in now:
            if not (place == "keyword" and new.kwarg):
                return f"the parameter {name} would be gone"
            continue
        new_place, new_optional = now[name]
        if optional and not new_optional:
            return f"the parameter {name} would have no default any more"
        if place != new_place and (new_place != "either" or (place == "position" and old.kwarg)):
            return f"the parameter {name} could not be given as before"
    for name, (_, optional) in now.items():
        if name not in was and not optional:
            return f"the new parameter {name} has no default"
    order = [argument.arg for argument in (*old.posonlyargs, *old.args)]
    new_order = [argument.arg for argument in (*new.posonlyargs, *new.args)]
    if new_order[: len(order)] != order:
        return "the order of its parameters would change"
    if old.vararg and len(new_order) > len(order):
        return f"the new parameter {new_order[len(order)]} would take what went into *{old.vararg.arg}"
    if (old.vararg and not new.vararg) or (old.kwarg and not new.kwarg):
        return "it would take no further arguments any more"
    return ""


def _named(arguments: ast.arguments) -> dict[str, tuple[str, bool]]:
    """Each parameter: where it may stand in a call, and whether it may be left out."""
    positional = [*arguments.posonlyargs, *arguments.args]
    required = len(positional) - len(arguments.defaults)
    found = {}
    for index, argument in enumerate(positional):
        place = "position" if index < len(arguments.posonlyargs) else "either"
        found[argument.arg] = (place, index >= required)
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        found[argument.arg] = ("keyword", default is not None)
    return found


def _bare(symbol: Symbol) -> str:
    return "".join(symbol.signature.split())
