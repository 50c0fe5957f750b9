"""What a used name means: by imports, scopes and classes where they tell, by the name alone where nothing does.

A resolution says how sure it is: exact (the language's own rules lead there), likely (a base class, the only candidate in sight),
or by name only.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping
from enum import IntEnum
from functools import cached_property
from typing import NamedTuple

from dovetail.agent.repo.facts import CONTAINERS, FileFacts, Reference, Symbol
from dovetail.agent.repo.graph import ImportGraph
from dovetail.agent.repo.resolve.project import Target

_SELF = frozenset({"self", "cls", "this", "$this", "Self", "static", "super", "super()"})
_PARENT = {"c-sharp": "base", "php": "parent"}
_CLOSED = frozenset({"python", "javascript", "typescript", "tsx", "rust"})
"""Languages in which a bare name of another file must be imported."""

_FOLDER_PACKAGES = frozenset({"go", "java"})
_CLASS_LIKE = CONTAINERS | {"type"}
_MOST_HOPS = 8
_CHAIN = re.compile(r"\?\.|&\.|\.|->|::|\\")


class Certainty(IntEnum):
    """How sure a resolution is."""

    NAME = 1
    LIKELY = 2
    EXACT = 3

    def __str__(self) -> str:
        return {1: "name only", 2: "likely", 3: "exact"}[self]


class Meaning(NamedTuple):
    """A definition that a name may mean."""

    symbol: Symbol
    certainty: Certainty


class Names:
    """Resolves names over the whole repository."""

    def __init__(
        self, files: Mapping[str, FileFacts], graph: ImportGraph, defined: Mapping[str, Iterable[str]]
    ) -> None:
        """``defined`` are the files that define each name."""
        self._files = files
        self._graph = graph
        self._defined = defined
        self._bound: dict[str, dict[str, list[Target]]] = {}
        self._outside: dict[str, frozenset[str]] = {}
        self._stars: dict[str, list[str]] = {}

    def meanings(self, use: Reference) -> list[Meaning]:
        """The definitions that a use may mean, surest first; empty where it means nothing of this repository."""
        facts = self._files[use.path]
        if use.kind == "import":
            return self._imported(use)
        self._bind(use.path)
        found = self._member(facts, use) if use.receiver else self._bare(facts, use)
        best = max((meaning.certainty for meaning in found), default=Certainty.NAME)
        kept = [meaning for meaning in found if meaning.certainty == best]
        return sorted(set(kept), key=lambda meaning: meaning.symbol)

    def exported(self, path: str, name: str) -> list[Symbol]:
        """The definitions that ``name`` of the file ``path`` leads to, through files that only pass it on."""
        return self._follow(path, name, 0, set())

    def open_uses(self, path: str, name: str) -> int:
        """How many uses of a name in a file may mean a definition elsewhere that no import leads to."""
        self._bind(path)
        facts = self._files[path]
        outside = self._outside[path]
        closed = facts.language in _CLOSED
        uses = [receiver for _, _, _, receiver in facts.uses.get(name, ())]
        return sum(
            bool(receiver or not closed) and (_CHAIN.split(receiver)[0] or name) not in outside for receiver in uses
        )

    def _follow(self, path: str, name: str, hops: int, seen: set[tuple[str, str]]) -> list[Symbol]:
        if (path, name) in seen or hops > _MOST_HOPS or path not in self._files:
            return []
        seen.add((path, name))
        own = self._top_level(self._files[path], name)
        if own:
            return own
        self._bind(path)
        for target in self._bound[path].get(name, ()):
            found = self._follow(target.path, target.name or name, hops + 1, seen)
            if found:
                return found
        for star in self._stars[path]:
            found = self._follow(star, name, hops + 1, seen)
            if found:
                return found
        return []

    def _top_level(self, facts: FileFacts, name: str) -> list[Symbol]:
        if name == "default":
            return [symbol for symbol in facts.definitions if symbol.exported and not symbol.parent][:1]
        inside = _namespaces(facts)
        return [symbol for symbol in facts.definitions if symbol.name == name and symbol.parent in inside]

    def _bind(self, path: str) -> None:
        """Find what imports bind in a file: to targets, or to something outside of the repository."""
        if path in self._bound:
            return
        bound: dict[str, list[Target]] = {}
        outside: set[str] = set()
        stars: list[str] = []
        for made, targets in self._graph.targets.get(path, ()):
            if made.name == "*" or any(target.name == "*" for target in targets):
                stars += [target.path for target in targets]
                continue
            label = made.alias or _last(made.module)
            if targets:
                bound.setdefault(label, []).extend(targets)
                if not made.alias and not made.name:
                    bound.setdefault(made.module, []).extend(targets)
            else:
                outside.add(label)
                outside.add(made.module.split(".")[0])
        self._bound[path] = bound
        self._outside[path] = frozenset(outside - bound.keys())
        self._stars[path] = stars

    def _imported(self, use: Reference) -> list[Meaning]:
        for made, targets in self._graph.targets.get(use.path, ()):
            if made.line == use.line and use.name in (made.name, made.alias):
                found = [
                    symbol
                    for target in targets
                    for symbol in self.exported(target.path, target.name or made.name or made.alias)
                ]
                if found:
                    return [Meaning(symbol, Certainty.EXACT) for symbol in found]
        return []

    def _bare(self, facts: FileFacts, use: Reference) -> list[Meaning]:
        path, name = use.path, use.name
        own = self._in_scope(facts, use)
        if own:
            return self._with_bodies(own)
        if name in self._bound[path]:
            targets = self._bound[path][name]
            found = [symbol for target in targets for symbol in self.exported(target.path, target.name or name)]
            return [Meaning(symbol, Certainty.EXACT) for symbol in found]
        if name in self._outside[path]:
            return []
        for star in self._stars[path]:
            found = self.exported(star, name)
            if found:
                return self._with_bodies(found)
        if facts.language in _CLOSED:
            return []
        return self._neighbours(facts, use)

    def _with_bodies(self, found: list[Symbol]) -> list[Meaning]:
        """What was found is meant; of declarations only, likely the functions of that name too."""
        if any(symbol.kind != "prototype" for symbol in found):
            return [Meaning(symbol, Certainty.EXACT) for symbol in found]
        bodies = [
            symbol
            for symbol in self._all(found[0].name, self._files[found[0].path].language)
            if symbol.kind in {"function", "method"} and symbol.exported
        ]
        certainty = Certainty.LIKELY if bodies else Certainty.EXACT
        return [Meaning(symbol, certainty) for symbol in [*found, *bodies]]

    def _in_scope(self, facts: FileFacts, use: Reference) -> list[Symbol]:
        """Definitions of the same file that the name reaches from where it stands, the innermost."""
        within = use.within
        implicit = facts.language in {"java", "c-sharp", "cpp", "ruby"}
        same = [symbol for symbol in facts.definitions if symbol.name == use.name]
        if not same:
            return []
        while True:
            parent_kind = facts.by_qualified[within].kind if within in facts.by_qualified else ""
            inside = [symbol for symbol in same if symbol.parent == within]
            if inside and (within == "" or implicit or parent_kind not in _CLASS_LIKE):
                return inside
            if not within:
                namespaces = _namespaces(facts)
                return [symbol for symbol in same if symbol.parent in namespaces]
            within = within.rpartition(".")[0]

    def _neighbours(self, facts: FileFacts, use: Reference) -> list[Meaning]:
        """Definitions of other files that need no import: of the same package, or the only one of its name."""
        others = [symbol for symbol in self._all(use.name, facts.language) if symbol.path != facts.path]
        if facts.language in _FOLDER_PACKAGES or facts.package:
            folder = posixpath.dirname(facts.path)
            beside = [
                symbol
                for symbol in others
                if symbol.parent in _namespaces(self._files[symbol.path])
                and self._files[symbol.path].package == facts.package
                and (facts.language != "go" or posixpath.dirname(symbol.path) == folder)
            ]
            if beside or facts.language in _FOLDER_PACKAGES:
                return [Meaning(symbol, Certainty.EXACT) for symbol in beside]
        top = [symbol for symbol in others if symbol.parent in _namespaces(self._files[symbol.path])] or others
        real = [symbol for symbol in top if symbol.kind != "prototype"] or top
        return self._guessed(real)

    def _member(self, facts: FileFacts, use: Reference) -> list[Meaning]:
        receiver = use.receiver
        if receiver in _SELF or receiver == _PARENT.get(facts.language):
            return self._of_self(facts, use)
        chain = _CHAIN.split(receiver.removesuffix("()"))
        module = self._bound[use.path].get(receiver)
        if module:
            found = [symbol for target in module for symbol in self._of_target(target, use.name)]
            if found:
                return [Meaning(symbol, Certainty.EXACT) for symbol in found]
        owner = self._chain(facts, use, chain)
        if owner is None:
            return []
        found = [symbol for symbol in owner if symbol.name == use.name]
        certainty = Certainty.LIKELY if receiver.endswith("()") else Certainty.EXACT
        if found:
            return [Meaning(symbol, certainty) for symbol in found]
        return self._any_member(facts, use)

    def _chain(self, facts: FileFacts, use: Reference, chain: list[str]) -> list[Symbol] | None:
        """The members of what a chain of names leads to; None where it leads out of the repository."""
        head = Reference(use.path, chain[0], "use", use.line, use.within, "")
        targets = self._bound[use.path].get(chain[0])
        if targets is None and chain[0] in self._outside[use.path]:
            return None
        files = [target for target in targets or () if not target.name]
        if files and len(chain) == 1:
            return [symbol for target in files for symbol in self.exported(target.path, use.name)]
        if files:
            owners = [symbol for target in files for symbol in self.exported(target.path, chain[1])]
            rest = chain[2:]
        else:
            owners = [meaning.symbol for meaning in self._bare(facts, head) if meaning.certainty > Certainty.NAME]
            rest = chain[1:]
        if rest:
            return []
        return [member for owner in owners for member in self._members(owner, use.name, 0, set())]

    def _of_target(self, target: Target, name: str) -> list[Symbol]:
        if not target.name:
            return self.exported(target.path, name)
        owners = self.exported(target.path, target.name)
        return [member for owner in owners for member in self._members(owner, name, 0, set())]

    def _of_self(self, facts: FileFacts, use: Reference) -> list[Meaning]:
        owner = use.within.rpartition(".")[0]
        while owner and (owner not in facts.by_qualified or facts.by_qualified[owner].kind not in _CLASS_LIKE):
            owner = owner.rpartition(".")[0]
        if not owner:
            owner = use.within.rpartition(".")[0]
        own = [symbol for symbol in facts.definitions if symbol.name == use.name and symbol.parent == owner and owner]
        if own and (use.receiver in _SELF and not use.receiver.startswith("super")):
            return [Meaning(symbol, Certainty.EXACT) for symbol in own]
        klass = facts.by_qualified.get(owner)
        if klass is not None:
            inherited = self._inherited(klass, use.name, 0, {klass})
            if inherited:
                return [Meaning(symbol, Certainty.LIKELY) for symbol in inherited]
        return self._any_member(facts, use)

    def _members(self, owner: Symbol, name: str, hops: int, seen: set[Symbol]) -> list[Symbol]:
        """The members of a class that have the name, its bases' where it has none."""
        facts = self._files[owner.path]
        inside = owner.qualified
        own = [symbol for symbol in facts.definitions if symbol.name == name and symbol.parent == inside]
        if not own and facts.language in {"go", "rust", "cpp"}:
            own = [symbol for symbol in self._all(name, facts.language) if symbol.parent == owner.name]
        return own or self._inherited(owner, name, hops, seen | {owner})

    def _inherited(self, klass: Symbol, name: str, hops: int, seen: set[Symbol]) -> list[Symbol]:
        if hops > _MOST_HOPS:
            return []
        facts = self._files[klass.path]
        self._bind(klass.path)
        for base in self._bases.get((klass.path, klass.qualified), ()):
            for meaning in self._member(facts, base) if base.receiver else self._bare(facts, base):
                if meaning.symbol not in seen and meaning.symbol.kind in _CLASS_LIKE:
                    found = self._members(meaning.symbol, name, hops + 1, seen | {meaning.symbol})
                    if found:
                        return found
        return []

    @cached_property
    def _bases(self) -> dict[tuple[str, str], list[Reference]]:
        """The uses of base classes, by file and class."""
        found: dict[tuple[str, str], list[Reference]] = {}
        for path, facts in self._files.items():
            for name, uses in facts.uses.items():
                for kind, line, scope, receiver in uses:
                    if kind == 1 and scope >= 0:
                        within = facts.definitions[scope].qualified
                        use = Reference(path, name, "base", line, within.rpartition(".")[0], receiver)
                        found.setdefault((path, within), []).append(use)
        return found

    def _any_member(self, facts: FileFacts, use: Reference) -> list[Meaning]:
        members = [symbol for symbol in self._all(use.name, facts.language) if symbol.parent]
        return self._guessed(members)

    def _guessed(self, candidates: list[Symbol]) -> list[Meaning]:
        """Likely where there is but one of the name, else by name only."""
        real = [symbol for symbol in candidates if symbol.kind != "prototype"] or candidates
        certainty = Certainty.LIKELY if len(real) == 1 else Certainty.NAME
        return [Meaning(symbol, certainty) for symbol in real]

    def _all(self, name: str, language: str) -> list[Symbol]:
        family = _family(language)
        return [
            symbol
            for path in sorted(self._defined.get(name, ()))
            if _family(self._files[path].language) == family
            for symbol in self._files[path].definitions
            if symbol.name == name
        ]


def _namespaces(facts: FileFacts) -> set[str]:
    """The parents whose members are at the top level: none, and namespaces."""
    return {""} | {symbol.qualified for symbol in facts.definitions if symbol.kind == "namespace"}


def _family(language: str) -> str:
    if language in {"javascript", "typescript", "tsx"}:
        return "javascript"
    return "c" if language == "cpp" else language


def _last(module: str) -> str:
    return re.split(r"[./\\:]", module.rstrip("/"))[-1]
