"""Renames: function, method, class, constant, variable, parameter. Every use is an edited line."""

import ast
import builtins
import keyword
import random

from dovetail.models.embedded import names, snippets
from dovetail.models.embedded.tasks.code import Code, Function, Task, parameters, phrase

_ANY = (
    "Rename {a} to {b}", "rename {a} -> {b}", "Change the name of {a} to {b}", "Call {a} {b} instead", "{a} should be called {b}",
    "Rename {a} to {b} everywhere", "Replace the name {a} with {b}", "rename {a} as {b}",
)  # fmt: skip
_FUNCTION = (
    "Rename the function {a} to {b}", "Rename the function {a} to {b}", "Rename function {a} to {b}", "rename the function {a} -> {b}",
    "Rename the function {a} into {b}", "The function {a} should be called {b}", "Change the function name from {a} to {b}",
    "Rename {a}() to {b}()", "Rename the {a} function to {b}", "rename the function {a} to {b} and update its callers",
)  # fmt: skip
_METHOD = (
    "Rename the method {a} to {b}",
    "Rename the {a} method to {b}",
    "Rename the method {a} of {c} to {b}",
    "rename method {a} -> {b}",
)
_CLASS = (
    "Rename the class {a} to {b}",
    "Rename class {a} to {b}",
    "The class {a} should be called {b}",
    "Rename the {a} class to {b}",
)
_VARIABLE = (
    "Rename the variable {a} to {b}",
    "Rename the local variable {a} to {b}",
    "rename variable {a} -> {b}",
    "Rename the {a} variable to {b}",
)
_CONSTANT = ("Rename the constant {a} to {b}", "Rename the variable {a} to {b}", "rename constant {a} -> {b}")
_PARAMETER = (
    "Rename the parameter {a} to {b}",
    "Rename the argument {a} to {b}",
    "rename parameter {a} -> {b}",
    "Rename the {a} parameter to {b}",
)


def _fresh(code: Code, rng: random.Random, make: snippets.Maker, old: str) -> str | None:
    """A name that the file does not have yet: of any shape, or of the kind that made-up files use."""
    for _ in range(5):
        name = names.new_name(rng, old) if rng.random() < 0.7 else make(rng)
        if name not in code.names and not keyword.iskeyword(name) and name != old and not code.in_formatted(name):
            return name
    return None


def _everywhere(code: Code, rng: random.Random, old: str, new: str | None) -> tuple[tuple[int, int], ...]:
    """Every place of a name, also within the fields of f-strings; none where some of them cannot be told."""
    if new is None:
        return ()
    places = tuple((line, column) for line, column, _ in code.names[old])
    if not code.in_formatted(old):
        return places
    inside = code.formatted_places(old)
    return (*places, *inside) if inside is not None else ()


def rename_function(code: Code, rng: random.Random) -> Task | None:
    if not code.functions:
        return None
    used = [f for f in code.functions if len(code.names[f.name]) > 1]
    function = rng.choice(used if used and rng.random() < 0.85 else code.functions)
    new = _fresh(code, rng, snippets.verb, function.name)
    places = _everywhere(code, rng, function.name, new)
    if new is None or not 1 <= len(places) <= 7:
        return None
    owner = code.owner(function)
    templates = _METHOD if owner and rng.random() < 0.5 else _FUNCTION if not owner or rng.random() < 0.3 else _ANY
    instruction = phrase(
        rng, templates + _ANY[:2] if owner is None else templates, a=function.name, b=new, c=owner or ""
    )
    return Task("rename function", instruction, code.rename(function.name, new, places))


def rename_class(code: Code, rng: random.Random) -> Task | None:
    if not code.classes:
        return None
    old = rng.choice(code.classes).name
    new = _fresh(code, rng, snippets.class_name, old)
    places = _everywhere(code, rng, old, new)
    if new is None or not 1 <= len(places) <= 7:
        return None
    return Task("rename class", phrase(rng, _CLASS + _ANY[:2], a=old, b=new), code.rename(old, new, places))


_USED = ("Rename the function {a} to {b}", *_ANY, *_FUNCTION[:4], "Rename {a} to {b}", "Replace the name {a} with {b}", "rename {a} -> {b}", "Rename {a} to {b} everywhere")  # fmt: skip


def rename_used(code: Code, rng: random.Random) -> Task | None:
    """A name that is used here and defined elsewhere: imported, or simply called."""
    defined = {n.name for n in code.nodes if isinstance(n, Function | ast.ClassDef)}
    imported = {a.asname or a.name for n in code.nodes if isinstance(n, ast.ImportFrom) for a in n.names}
    called = {n.func.id for n in code.nodes if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
    usable = sorted((imported | called) - defined - set(dir(builtins)) - {"*"})
    if not usable:
        return None
    old = rng.choice(usable)
    new = _fresh(code, rng, snippets.class_name if old[:1].isupper() else snippets.verb, old)
    places = _everywhere(code, rng, old, new)
    if new is None or not 1 <= len(places) <= 7:
        return None
    templates = _USED if not old[:1].isupper() else _CLASS + _ANY
    return Task("rename used name", phrase(rng, templates, a=old, b=new), code.rename(old, new, places))


def shared_names(first: Code, second: Code) -> list[str]:
    """Functions and classes that one of two files defines and the other uses."""

    def defined(code: Code) -> set[str]:
        return {n.name for n in code.tree.body if isinstance(n, Function | ast.ClassDef)}

    return sorted((defined(first) & set(second.names)) | (defined(second) & set(first.names)))


def rename_over_files(codes: list[Code], rng: random.Random) -> tuple[str, list[Task]] | None:
    """One name in two files: the instruction, and what it means for each."""
    shared = shared_names(*codes)
    if not shared:
        return None
    old = rng.choice(shared)
    new = _fresh(codes[0], rng, snippets.class_name if old[:1].isupper() else snippets.verb, old)
    if new is None or new in codes[1].names or codes[1].in_formatted(new):
        return None
    places = [_everywhere(code, rng, old, new) for code in codes]
    if not all(1 <= len(found) <= 5 for found in places):
        return None
    templates = (*_ANY, "Rename {a} to {b} in both files", "Rename {a} to {b} in all files")
    instruction = phrase(rng, templates if old[:1].isupper() else (*templates, *_FUNCTION[:4]), a=old, b=new)
    made = [code.rename(old, new, found) for code, found in zip(codes, places, strict=True)]
    return instruction, [Task("rename over files", instruction, edits) for edits in made]


def rename_constant(code: Code, rng: random.Random) -> Task | None:
    targets = [n.targets[0] for n in code.tree.body if isinstance(n, ast.Assign) and len(n.targets) == 1]
    names = [t.id for t in targets if isinstance(t, ast.Name)]
    if not names:
        return None
    old = rng.choice(names)
    new = _fresh(code, rng, snippets.constant_name if old.isupper() else snippets.noun, old)
    places = _everywhere(code, rng, old, new)
    if new is None or not 1 <= len(places) <= 7:
        return None
    return Task("rename constant", phrase(rng, _CONSTANT + _ANY[:2], a=old, b=new), code.rename(old, new, places))


def _within(code: Code, function: Function, name: str) -> list[tuple[int, int]]:
    """Places of a local name inside a function, without attributes and keyword names of calls."""
    end = function.end_lineno or function.lineno
    return [
        (line, column)
        for line, column, dotted in code.names[name]
        if function.lineno <= line <= end and not dotted and (line, column) not in code.keyword_places
    ]


def _rename_local(
    code: Code, rng: random.Random, function: Function, old: str, kind: str, templates: tuple[str, ...]
) -> Task | None:
    new = _fresh(code, rng, snippets.noun, old)
    if new is None or code.in_formatted(old):
        return None
    places = _within(code, function, old)
    elsewhere = len(code.names[old]) > len(places)
    if not 1 <= len(places) <= 10 or len({line for line, _ in places}) > 6:
        return None
    if elsewhere or rng.random() < 0.4:
        templates = tuple(f"{t} in {{f}}" for t in templates) + tuple(
            f"In {{f}}, {t[0].lower()}{t[1:]}" for t in templates[:2]
        )
        if "parameter" in kind:
            templates += ("Rename the parameter {a} of {f} to {b}", "Rename the argument {a} of {f} to {b}")
    return Task(kind, phrase(rng, templates, a=old, b=new, f=function.name), code.rename(old, new, places))


def rename_variable(code: Code, rng: random.Random) -> Task | None:
    if not code.functions:
        return None
    function = rng.choice(code.functions)
    taken = {a.arg for a in parameters(function, skip_self=False)}
    nodes = [n for n in ast.walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
    names = sorted({n.id for n in nodes} - taken)
    if not names or any(isinstance(n, ast.Global | ast.Nonlocal) for n in ast.walk(function)):
        return None
    return _rename_local(code, rng, function, rng.choice(names), "rename variable", _VARIABLE + _ANY[:1])


def rename_parameter(code: Code, rng: random.Random) -> Task | None:
    if not code.functions:
        return None
    function = rng.choice(code.functions)
    names = [a.arg for a in parameters(function)]
    return (
        _rename_local(code, rng, function, rng.choice(names), "rename parameter", _PARAMETER + _ANY[:1])
        if names
        else None
    )
