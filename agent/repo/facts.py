"""What is known of one file: definitions, uses of names, imports, syntax errors; and its form in the cache.

Facts depend on the content and the language alone, so that equal files share them. Knows no parser and no disk.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

CALLABLE = frozenset({"function", "method", "macro", "prototype"})
"""Kinds of definition that are called."""

CONTAINERS = frozenset({"class", "interface", "struct", "enum", "trait", "namespace"})
"""Kinds of definition that hold others."""


class Symbol(NamedTuple):
    """A definition. ``line`` and ``last_line`` count from 1; ``parent`` is the dotted name of what it is defined in."""

    path: str
    name: str
    kind: str
    line: int
    last_line: int
    parent: str
    signature: str
    exported: bool

    @property
    def qualified(self) -> str:
        """The name with its parents: ``Class.method``."""
        return f"{self.parent}.{self.name}" if self.parent else self.name


class Reference(NamedTuple):
    """A use of a name: its kind is ``call``, ``base``, ``member``, ``use`` or ``import``.

    ``within`` is the qualified name of the definition it stands in, empty at the file's top;
    ``receiver`` what stands before the dot, as far as it is a plain chain of names.
    """

    path: str
    name: str
    kind: str
    line: int
    within: str
    receiver: str


class Import(NamedTuple):
    """One name brought in: ``name`` of ``module``, known as ``alias`` here.

    ``name`` is empty where the module itself is bound, ``*`` where everything is; ``module`` is as written.
    """

    line: int
    module: str
    name: str
    alias: str


class Fault(NamedTuple):
    """A place that does not parse."""

    line: int
    what: str


USE_KINDS = ("call", "base", "member", "use")

Use = tuple[int, int, int, str]
"""One use of a name: index into USE_KINDS, line, index of the enclosing definition or -1, receiver."""


@dataclass(frozen=True)
class FileFacts:
    """One file of the repository. ``skipped`` says why it was not read; then there is nothing else."""

    path: str
    language: str
    digest: str
    lines: int = 0
    package: str = ""
    definitions: tuple[Symbol, ...] = ()
    imports: tuple[Import, ...] = ()
    uses: Mapping[str, list[Use]] = field(default_factory=dict)
    errors: tuple[Fault, ...] = ()
    skipped: str = ""

    def references_to(self, name: str) -> Iterator[Reference]:
        """All uses of ``name``, imports included, in the order of lines within each kind."""
        for line, module, imported, alias in self.imports:
            if name in (imported, alias) and name != "*":
                yield Reference(self.path, name, "import", line, "", module)
        for kind, line, scope, receiver in self.uses.get(name, ()):
            within = self.definitions[scope].qualified if scope >= 0 else ""
            yield Reference(self.path, name, USE_KINDS[kind], line, within, receiver)

    @property
    def references(self) -> tuple[Reference, ...]:
        """Every use of a name that is not bound locally, in the order of lines."""
        names = self.uses.keys() | {part for made in self.imports for part in (made.name, made.alias)} - {"", "*"}
        found = {reference for name in names for reference in self.references_to(name)}
        return tuple(sorted(found, key=lambda reference: (reference.line, reference)))

    @cached_property
    def by_qualified(self) -> dict[str, Symbol]:
        """Definitions by their qualified name; the first where there are several."""
        found: dict[str, Symbol] = {}
        for symbol in self.definitions:
            found.setdefault(symbol.qualified, symbol)
        return found


@dataclass
class RawFacts:
    """Facts before they belong to a path: what is kept in the cache."""

    language: str
    lines: int = 0
    package: str = ""
    definitions: list[tuple[str, str, int, int, str, str, bool]] = field(default_factory=list)
    imports: list[Import] = field(default_factory=list)
    uses: dict[str, list[Use]] = field(default_factory=dict)
    errors: list[Fault] = field(default_factory=list)
    skipped: str = ""

    def encode(self) -> bytes:
        """As bytes for the cache."""
        fields = [self.language, self.lines, self.package, self.definitions, self.imports, self.uses, self.errors]
        return json.dumps([*fields, self.skipped], separators=(",", ":")).encode()


def decode(raw: bytes, path: str, digest: str) -> FileFacts:
    """The facts of the file at ``path`` from their bytes in the cache."""
    language, lines, package, definitions, imports, uses, errors, skipped = _fields(raw)
    return FileFacts(
        path,
        language,
        digest,
        lines,
        package,
        tuple(Symbol(path, *definition) for definition in definitions),
        tuple(Import(*made) for made in imports),
        uses,
        tuple(Fault(*fault) for fault in errors),
        skipped,
    )


def _fields(raw: bytes) -> list[Any]:
    fields: list[Any] = json.loads(raw)
    return fields
