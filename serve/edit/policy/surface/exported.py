"""What a file exports, name by name, as its syntax says it; and what an edit takes away or changes of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from tree_sitter import Tree

from dovetail.serve.edit.policy.matching import Revision, original
from dovetail.serve.edit.policy.surface.go import go_surface
from dovetail.serve.edit.policy.surface.python import python_surface
from dovetail.serve.edit.policy.surface.script import script_surface
from dovetail.serve.edit.policy.surface.symbol import Symbol

_SURFACES: dict[str, Callable[[Tree, str], Iterable[Symbol]]] = {
    "python": python_surface,
    "javascript": script_surface,
    "typescript": script_surface,
    "tsx": script_surface,
    "go": go_surface,
}

LANGUAGES = frozenset(_SURFACES)
"""The languages whose exports are read."""


class Broken(NamedTuple):
    """An exported name that an edit takes away (``line`` 0) or gives another signature."""

    name: str
    was: str
    now: str | None
    line: int


def exports(language: str, path: str, tree: Tree) -> list[Symbol]:
    """The exported symbols of the file at ``path``, in its order."""
    return list(_SURFACES[language](tree, path))


@lru_cache(maxsize=8)
def _original(language: str, path: str, text: bytes) -> list[Symbol]:
    """Kept, as many changes of one original are looked at in a row."""
    return exports(language, path, original(language, text))


def broken(revision: Revision, path: str) -> Iterator[Broken]:
    """What of the old text's exports the new text has no more, or otherwise."""
    if revision.before == revision.after:
        return
    after = exports(revision.language, path, revision.new)
    there = Counter((symbol.name, symbol.signature) for symbol in after)
    named = {symbol.name: symbol for symbol in reversed(after)}
    for symbol in _original(revision.language, path, revision.before):
        if there[symbol.name, symbol.signature]:
            there[symbol.name, symbol.signature] -= 1
            continue
        other = named.get(symbol.name)
        yield Broken(symbol.name, symbol.signature, other and other.signature, other.line if other else 0)
