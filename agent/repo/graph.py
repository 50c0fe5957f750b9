"""The import graph: which file brings in which, by which line. Knows the rules of no language."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from dovetail.agent.repo.facts import Import
from dovetail.agent.repo.resolve import go, included, javascript, packages, python, rust
from dovetail.agent.repo.resolve.project import Project, Resolver, Target

RESOLVERS: dict[str, Resolver] = {
    "python": python.resolve,
    "javascript": javascript.resolve,
    "typescript": javascript.resolve,
    "tsx": javascript.resolve,
    "go": go.resolve,
    "rust": rust.resolve,
    "java": packages.java,
    "c-sharp": packages.csharp,
    "php": packages.php,
    "c": included.c,
    "cpp": included.c,
    "ruby": included.ruby,
}


class Edge(NamedTuple):
    """One import that leads from a file to another of the repository."""

    source: str
    target: str
    made: Import


@dataclass(frozen=True)
class ImportGraph:
    """Every import of the repository with the files that it means."""

    targets: Mapping[str, list[tuple[Import, tuple[Target, ...]]]]
    imports: Mapping[str, dict[str, Import]] = field(default_factory=dict)
    importers: Mapping[str, dict[str, Import]] = field(default_factory=dict)

    def edges(self) -> Iterable[Edge]:
        """One for each pair of files, by the first import that makes it; in the order of paths."""
        for source in sorted(self.imports):
            for target in sorted(self.imports[source]):
                yield Edge(source, target, self.imports[source][target])

    def reach(self, starts: Iterable[str], *, backwards: bool = False) -> dict[str, tuple[int, str]]:
        """Files that are imported from ``starts`` over any number of files, or that import them: distance and next file."""
        steps = self.importers if backwards else self.imports
        found: dict[str, tuple[int, str]] = {}
        first = sorted(set(starts))
        waiting = deque((start, 0) for start in first)
        while waiting:
            path, distance = waiting.popleft()
            for other in sorted(steps.get(path, ())):
                if other not in found and other not in first:
                    found[other] = (distance + 1, path)
                    waiting.append((other, distance + 1))
        return found


def import_graph(project: Project) -> ImportGraph:
    """Resolve every import of the project."""
    targets: dict[str, list[tuple[Import, tuple[Target, ...]]]] = {}
    imports: dict[str, dict[str, Import]] = {}
    importers: dict[str, dict[str, Import]] = {}
    for path, facts in project.files.items():
        resolver = RESOLVERS.get(facts.language)
        if resolver is None or not facts.imports:
            continue
        resolved = [(made, resolver(project, path, made)) for made in facts.imports]
        targets[path] = resolved
        for made, files in resolved:
            for target in files:
                if target.path != path:
                    imports.setdefault(path, {}).setdefault(target.path, made)
                    importers.setdefault(target.path, {}).setdefault(path, made)
    return ImportGraph(targets, imports, importers)


def cycles(steps: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Strongly connected components, those that others lead to first; members sorted. Tarjan's, without recursion."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    on_stack: set[str] = set()
    found: list[list[str]] = []
    nodes = sorted({*steps, *(other for others in steps.values() for other in others)})
    for root in nodes:
        if root in order:
            continue
        work = [(root, iter(sorted(steps.get(root, ()))))]
        order[root] = low[root] = len(order)
        stack.append(root)
        on_stack.add(root)
        while work:
            node, others = work[-1]
            other = next(others, None)
            if other is None:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == order[node]:
                    at = stack.index(node)
                    found.append(sorted(stack[at:]))
                    on_stack.difference_update(stack[at:])
                    del stack[at:]
            elif other not in order:
                order[other] = low[other] = len(order)
                stack.append(other)
                on_stack.add(other)
                work.append((other, iter(sorted(steps.get(other, ())))))
            elif other in on_stack:
                low[node] = min(low[node], order[other])
    return found
