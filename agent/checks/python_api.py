"""Two texts of a Python module compared by griffe: objects that went, became something else, or lost a base. Parameters are api.py's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import griffe

_MODULE = "module"


class Breakage(NamedTuple):
    """What old callers of ``name`` may stumble over."""

    name: str
    message: str


class ModulePair:
    """A module before and after. Bases and names from other files are not looked up."""

    def __init__(self, path: str, before: str, after: str) -> None:
        self._before, self._after = _visited(path, before), _visited(path, after)

    def breakages(self) -> Iterator[Breakage]:
        """Each object once."""
        if self._before is None or self._after is None:
            return
        for found in griffe.find_breaking_changes(self._before, self._after):
            name = found.obj.path.removeprefix(f"{_MODULE}.")
            if isinstance(found, griffe.ObjectRemovedBreakage):
                yield Breakage(name, f"{name} is public and would be gone")
            elif isinstance(found, griffe.ObjectChangedKindBreakage):
                yield Breakage(
                    name, f"{name} would become: {found.new_value.value}, not {found.old_value.value} as before"
                )
            elif isinstance(found, griffe.ClassRemovedBaseBreakage):
                yield Breakage(name, f"{name} would lose one of its bases")
        after = _coroutines(self._after)
        for name, awaited in _coroutines(self._before).items():
            if after.get(name, awaited) != awaited:
                yield Breakage(name, f"{name} would {'not be' if awaited else 'be'} a coroutine")

    def has(self, name: str) -> bool:
        """Whether a qualified name is still there: defined, imported or inherited."""
        there: griffe.Object | griffe.Alias | None = self._after
        for part in name.split("."):
            if there is None or (there.is_alias and not there.is_module):
                return there is not None
            there = there.all_members.get(part)
        return there is not None


def _coroutines(module: griffe.Module) -> dict[str, bool]:
    """The functions and methods defined there, and whether each is awaited."""
    found: dict[str, bool] = {}
    pending: list[griffe.Module | griffe.Class] = [module]
    while pending:
        owner = pending.pop()
        pending += owner.classes.values()
        for each in owner.functions.values():
            found[each.path.removeprefix(f"{_MODULE}.")] = "async" in each.labels
    return found


def _visited(path: str, text: str) -> griffe.Module | None:
    modules = griffe.ModulesCollection()
    try:
        module = griffe.visit(_MODULE, Path(path), text, modules_collection=modules)
    except (SyntaxError, ValueError, RecursionError):
        return None  # whether it parses is another rung's question
    modules[_MODULE] = module
    return module
