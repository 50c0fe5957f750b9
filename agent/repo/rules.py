"""The tables [layers] and [contexts] of a repository's dovetail.toml, checked; a mistake is named with its key."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from typing import Any

from dovetail.agent.problems import FileProblem

SETTINGS = "dovetail.toml"


@dataclass(frozen=True)
class Forbidden:
    """Imports that a layer or a path pattern must not make, whatever the order says: of layers, paths or modules."""

    source: str
    targets: tuple[str, ...]


@dataclass(frozen=True)
class Context:
    """A bounded context. Others may import ``public`` files only, where it names any.

    It may import the contexts in ``may_import``; every context where that is None.
    """

    name: str
    paths: tuple[str, ...]
    public: tuple[str, ...] = ()
    may_import: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Rules:
    """What is declared. ``order`` is top first; layers outside of it only have the rules of ``forbidden``."""

    order: tuple[str, ...] = ()
    layers: dict[str, tuple[str, ...]] = field(default_factory=dict)
    forbidden: tuple[Forbidden, ...] = ()
    contexts: tuple[Context, ...] = ()


def read_rules(text: str) -> Rules:
    """The rules of a dovetail.toml; its other tables are other parts' concern."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise FileProblem(f"{SETTINGS} is not valid TOML: {error}.") from error
    layers = _table(data.get("layers", {}), "layers")
    order = _names(layers.get("order", []), "layers.order")
    forbidden = tuple(
        _forbidden(entry, at) for at, entry in enumerate(_list(layers.get("forbid", []), "layers.forbid"))
    )
    paths = {name: _names(globs, f"layers.{name}") for name, globs in layers.items() if name not in {"order", "forbid"}}
    for name in order:
        if name not in paths:
            raise FileProblem(f'{SETTINGS}: layers.order names {name}, which has no files: add {name} = ["folder/**"].')
    contexts = _table(data.get("contexts", {}), "contexts")
    made = tuple(_context(name, entry) for name, entry in contexts.items())
    for context in made:
        for name in context.may_import or ():
            if name not in contexts:
                raise FileProblem(f"{SETTINGS}: contexts.{context.name}.may_import names {name}, which is no context.")
    return Rules(order, paths, forbidden, made)


def _forbidden(entry: Any, at: int) -> Forbidden:
    where = f"layers.forbid[{at}]"
    table = _table(entry, where)
    _known(table, {"from", "import"}, where)
    source = table.get("from")
    if not isinstance(source, str) or not source:
        raise FileProblem(f"{SETTINGS}: {where}.from must be a layer or a path pattern.")
    return Forbidden(source, _names(table.get("import", []), f"{where}.import"))


def _context(name: str, entry: Any) -> Context:
    where = f"contexts.{name}"
    table = _table(entry, where)
    _known(table, {"paths", "public", "may_import"}, where)
    allowed = table.get("may_import")
    return Context(
        name,
        _names(table.get("paths", []), f"{where}.paths"),
        _names(table.get("public", []), f"{where}.public"),
        None if allowed is None else _names(allowed, f"{where}.may_import"),
    )


def _known(table: dict[str, Any], keys: set[str], where: str) -> None:
    for key in table:
        if key not in keys:
            raise FileProblem(f"{SETTINGS}: {where}.{key} is not known; the keys are {', '.join(sorted(keys))}.")


def _table(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise FileProblem(f"{SETTINGS}: {where} must be a table.")
    return value


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise FileProblem(f"{SETTINGS}: {where} must be a list.")
    return value


def _names(value: Any, where: str) -> tuple[str, ...]:
    entries = _list(value, where)
    if not all(isinstance(entry, str) and entry for entry in entries):
        raise FileProblem(f"{SETTINGS}: {where} must be a list of strings.")
    return tuple(entries)
