"""What may break when something changes: who calls it, who imports its file, which tests reach it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from dovetail.agent.repo.calls import Certainty
from dovetail.agent.repo.facts import Reference, Symbol
from dovetail.agent.repo.testfiles import is_test

if TYPE_CHECKING:
    from dovetail.agent.repo.index import RepoIndex

_MOST_STEPS = 3
"""Calls are followed this far: what calls a caller's caller's caller is rarely broken by what changed."""


class Affected(NamedTuple):
    """A use of what changed, or of something that calls it: ``distance`` 1 is a direct use."""

    reference: Reference
    of: Symbol
    certainty: Certainty
    distance: int


class Reached(NamedTuple):
    """A file that imports what changed over ``distance`` files; ``via`` is the next one on the way there."""

    path: str
    distance: int
    via: str


@dataclass(frozen=True)
class Impact:
    """What may break. ``tests`` are the affected tests, those nearest to the change first."""

    paths: tuple[str, ...]
    symbols: tuple[Symbol, ...]
    callers: tuple[Affected, ...]
    importers: tuple[Reached, ...]
    tests: tuple[Reached, ...]


def impact(index: RepoIndex, changed: Sequence[str | Symbol]) -> Impact:
    """What the change of these files and symbols may break."""
    symbols = [what for what in changed if isinstance(what, Symbol)]
    paths = sorted({what.path if isinstance(what, Symbol) else what for what in changed})
    whole = {what for what in changed if isinstance(what, str)}
    exported = [
        symbol
        for path in sorted(whole)
        for symbol in index.files[path].definitions
        if symbol.exported and not symbol.parent
    ]
    callers = _callers(index, symbols, exported)
    reached = [Reached(path, *step) for path, step in index.graph.reach(paths, backwards=True).items()]
    importers = sorted(reached, key=lambda found: (found.distance, found.path))
    return Impact(
        tuple(paths),
        tuple(dict.fromkeys([*symbols, *exported])),
        tuple(callers),
        tuple(importers),
        tuple(_tests(index, paths, callers, importers)),
    )


def _callers(index: RepoIndex, symbols: Iterable[Symbol], exported: Iterable[Symbol]) -> list[Affected]:
    """Uses of the symbols and, for single symbols, of what uses them. Of whole files only uses in other files count."""
    found: dict[Reference, Affected] = {}
    for symbol in exported:
        for caller in index.callers(symbol):
            if caller.reference.path != symbol.path and caller.certainty > Certainty.NAME:
                found.setdefault(caller.reference, Affected(caller.reference, symbol, caller.certainty, 1))
    wave = list(dict.fromkeys(symbols))
    seen = set(wave)
    for distance in range(1, _MOST_STEPS + 1):
        following: list[Symbol] = []
        for symbol in wave:
            for caller in index.callers(symbol):
                if distance > 1 and caller.certainty == Certainty.NAME:
                    continue
                found.setdefault(caller.reference, Affected(caller.reference, symbol, caller.certainty, distance))
                around = index.files[caller.reference.path].by_qualified.get(caller.reference.within)
                if around is not None and around not in seen and caller.certainty > Certainty.NAME:
                    seen.add(around)
                    following.append(around)
        wave = following
    return sorted(found.values(), key=lambda affected: (affected.distance, -affected.certainty, affected.reference))


def _tests(
    index: RepoIndex, paths: Iterable[str], callers: Iterable[Affected], importers: Iterable[Reached]
) -> list[Reached]:
    """Tests that changed themselves, that use what changed, and that import it."""
    found: dict[str, Reached] = {}
    for path in paths:
        found[path] = Reached(path, 0, path)
    for affected in callers:
        if affected.certainty > Certainty.NAME:
            path = affected.reference.path
            found.setdefault(path, Reached(path, affected.distance, affected.of.path))
    for reached in importers:
        known = found.setdefault(reached.path, reached)
        if reached.distance < known.distance:
            found[reached.path] = reached
    tests = [reached for reached in found.values() if is_test(reached.path, index.files[reached.path].language)]
    return sorted(tests, key=lambda test: (test.distance, test.path))
