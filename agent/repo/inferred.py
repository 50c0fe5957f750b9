"""Layers that nobody declared: folders as units, put in the order that most imports point in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dovetail.agent.repo.graph import ImportGraph, cycles
from dovetail.agent.repo.testfiles import supports_tests

_MOST = 0.8
"""A folder that holds more of the files than this is no unit: its folders are."""

_AGAINST = 0.25
"""Imports back are against the direction where they are at most this share of those that point forth."""


@dataclass(frozen=True)
class Inferred:
    """Units (folders or files) in levels, top first. A level with several units holds them side by side or in a cycle."""

    base: str
    levels: tuple[tuple[str, ...], ...]
    knots: tuple[tuple[str, ...], ...]
    counts: Mapping[tuple[str, str], int]

    def unit_of(self, path: str) -> str:
        """The folder or file directly below the base that holds ``path``; empty for what lies elsewhere."""
        return _unit(self.base, path)

    def against(self, path: str, target: str) -> str:
        """Why an import points against the direction, empty where it does not."""
        source, goal = self.unit_of(path), self.unit_of(target)
        if source == goal or not source or not goal:
            return ""
        back, forth = self.counts.get((source, goal), 0), self.counts.get((goal, source), 0)
        if forth and back <= _AGAINST * forth:
            return f"inferred: {goal} imports {source} {forth} times, the other way only {back}"
        return ""

    def describe(self) -> str:
        """The levels as text."""
        if not self.levels:
            return "No layers: no file imports one of another folder."
        lines = [
            "Layers inferred from the imports, top first (not declared: put [layers] in dovetail.toml to fix them):"
        ]
        lines += [f"  {', '.join(level)}" for level in self.levels]
        lines += [f"  in a cycle: {', '.join(knot)}" for knot in self.knots]
        return "\n".join(lines)


def infer(paths: Sequence[str], graph: ImportGraph, languages: Mapping[str, str]) -> Inferred:
    """Units below the folder that holds most files, levelled by the direction of most imports between them; tests apart."""
    source = [path for path in paths if not supports_tests(path, languages[path])]
    base = _base(source)
    counts: Counter[tuple[str, str]] = Counter()
    inside = set(source)
    for edge in graph.edges():
        if edge.source in inside and edge.target in inside:
            here, there = _unit(base, edge.source), _unit(base, edge.target)
            if here and there and here != there:
                counts[here, there] += 1
    steps: dict[str, set[str]] = {}
    for (here, there), amount in counts.items():
        if amount > _AGAINST * counts.get((there, here), 0):
            steps.setdefault(here, set()).add(there)
    components = cycles(steps)
    level: dict[str, int] = {}
    for members in components:
        below = [level[other] for member in members for other in steps.get(member, ()) if other not in members]
        for member in members:
            level[member] = 1 + max(below, default=-1)
    ordered = sorted({*level.values()}, reverse=True)
    levels = tuple(tuple(sorted(unit for unit, at in level.items() if at == height)) for height in ordered)
    return Inferred(base, levels, tuple(tuple(knot) for knot in components if len(knot) > 1), dict(counts))


def _base(paths: Sequence[str]) -> str:
    base = ""
    while True:
        inner = Counter(
            path[len(base) :].split("/", 1)[0] for path in paths if path.startswith(base) and "/" in path[len(base) :]
        )
        here = sum(path.startswith(base) for path in paths)
        most = max(sorted(inner), key=lambda name: inner[name], default="")
        if not most or inner[most] <= _MOST * here:
            return base
        base += most + "/"


def _unit(base: str, path: str) -> str:
    if not path.startswith(base):
        return ""
    first, _, rest = path[len(base) :].partition("/")
    return f"{base}{first}/" if rest else f"{base}{first}"
