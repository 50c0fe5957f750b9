"""Requests that a file already meets, or that have nothing to work on: the right answer is no edit at all."""

from __future__ import annotations

import ast
import random

from dovetail.models.embedded import names, snippets
from dovetail.models.embedded.blocks import LineEdit
from dovetail.models.embedded.tasks import structure, values
from dovetail.models.embedded.tasks.code import Code, Task, phrase

NO_EDITS: tuple[LineEdit, ...] = ()
_NOTHING = ("Do nothing", "Leave the file as it is", "No change needed", "Change nothing", "Keep everything as it is.")


def no_change(code: Code, rng: random.Random) -> Task | None:
    """A request that asks for what is so already."""
    makers = (_nothing, _renamed, _renamed, _set, _set, _documented, _imported, _absent_import)
    instruction = rng.choice(makers)(code, rng)
    return Task("no change", instruction, NO_EDITS) if instruction else None


def _nothing(code: Code, rng: random.Random) -> str | None:
    return rng.choice(_NOTHING)


def _renamed(code: Code, rng: random.Random) -> str | None:
    """The new name is there and the old one is not."""
    if not code.functions:
        return None
    new = rng.choice(code.functions).name
    old = names.new_name(rng, new) if rng.random() < 0.5 else snippets.verb(rng)
    if old in code.text:
        return None
    return phrase(rng, ("Rename the function {a} to {b}", "Rename {a} to {b}", "rename {a} -> {b}"), a=old, b=new)


def _set(code: Code, rng: random.Random) -> str | None:
    """A constant that has the wanted value."""
    pairs = [
        (node.targets[0].id, code.source(node.value))
        for node in code.tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Constant)
        and len(code.source(node.value)) < 30
    ]
    if not pairs:
        return None
    name, value = rng.choice(pairs)
    return phrase(rng, values.SET_TO, a=name, n_=value)


def _documented(code: Code, rng: random.Random) -> str | None:
    """A docstring that is there: `Add a docstring to f` asks for any, `f` has one."""
    having = [n.name for n in (*code.functions, *code.classes) if ast.get_docstring(n) is not None]
    return phrase(rng, structure.PLAIN_DOCSTRING, f=rng.choice(having)) if having else None


def _imported(code: Code, rng: random.Random) -> str | None:
    found = [a.name for n in code.tree.body if isinstance(n, ast.Import) for a in n.names if a.asname is None]
    return phrase(rng, structure.IMPORT, m=rng.choice(found)) if found else None


def _absent_import(code: Code, rng: random.Random) -> str | None:
    name = rng.choice(structure.MODULES)
    return phrase(rng, structure.REMOVE_IMPORT, m=name) if name not in code.names else None
