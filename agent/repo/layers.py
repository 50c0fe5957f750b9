"""Layers and bounded contexts: as dovetail.toml declares them, or as the imports suggest; and the imports against them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from dovetail.agent.repo.facts import Import
from dovetail.agent.repo.globs import matches
from dovetail.agent.repo.graph import ImportGraph
from dovetail.agent.repo.inferred import Inferred, infer
from dovetail.agent.repo.resolve.project import Project
from dovetail.agent.repo.rules import SETTINGS, Context, Forbidden, Rules, read_rules
from dovetail.agent.repo.text import printable


class Violation(NamedTuple):
    """An import against the rules: where it stands, what it brings in, and which rule it breaks."""

    path: str
    line: int
    module: str
    target: str
    rule: str

    def __str__(self) -> str:
        return f"{printable(self.path)}:{self.line}: imports {printable(self.module)}: {self.rule}"


@dataclass(frozen=True)
class Layers:
    """The layers of a repository, top first: a file may import from its own layer and from those below.

    ``declared`` says where they come from: dovetail.toml, or the imports as they are.
    """

    declared: bool
    rules: Rules
    inferred: Inferred
    graph: ImportGraph
    paths: Sequence[str]

    def layer_of(self, path: str) -> str:
        """The layer of a file, the most specific pattern winning; empty where none is declared for it."""
        if not self.declared:
            return self.inferred.unit_of(path)
        found = [
            (len(pattern), name)
            for name, patterns in self.rules.layers.items()
            for pattern in patterns
            if matches(path, (pattern,))
        ]
        return max(found)[1] if found else ""

    def context_of(self, path: str) -> Context | None:
        """The bounded context that a file belongs to."""
        return next((context for context in self.rules.contexts if matches(path, context.paths)), None)

    def violations(self) -> list[Violation]:
        """Every import against the rules, in the order of paths and lines."""
        found: list[Violation] = []
        for path in sorted(self.graph.targets):
            for made, targets in self.graph.targets[path]:
                resolved = sorted({target.path for target in targets if target.path != path})
                for target in resolved:
                    rule = self._broken(path, target)
                    if rule:
                        found.append(Violation(path, made.line, _shown(made), target, rule))
                if not resolved and self.declared:
                    rule = self._forbidden_module(path, made)
                    if rule:
                        found.append(Violation(path, made.line, _shown(made), "", rule))
        return sorted(set(found))

    def describe(self) -> str:
        """The layers as text, top first, and how they came to be."""
        if not self.declared:
            return self.inferred.describe()
        lines = [f"Layers of {SETTINGS} (each may import itself and those below):"]
        counts = dict.fromkeys(self.rules.layers, 0)
        for path in self.paths:
            layer = self.layer_of(path)
            if layer:
                counts[layer] += 1
        for name in [*self.rules.order, *(name for name in self.rules.layers if name not in self.rules.order)]:
            place = "" if name in self.rules.order else " (beside the order)"
            lines.append(f"  {name}{place}: {counts[name]} files in {', '.join(self.rules.layers[name])}")
        lines += [f"  {rule.source} may not import {', '.join(rule.targets)}" for rule in self.rules.forbidden]
        for context in self.rules.contexts:
            inside = sum(matches(path, context.paths) for path in self.paths)
            lines.append(f"  context {context.name}: {inside} files in {', '.join(context.paths)}")
        return "\n".join(lines)

    def _broken(self, path: str, target: str) -> str:
        if not self.declared:
            return self.inferred.against(path, target)
        source, goal = self.layer_of(path), self.layer_of(target)
        order = self.rules.order
        if source != goal and source in order and goal in order and order.index(goal) < order.index(source):
            return f"layer {source} lies below {goal}"
        for rule in self.rules.forbidden:
            if _applies(rule, source, path) and (goal in rule.targets or _module_named(rule, target)):
                return f"{rule.source} may not import {goal or target}"
        return self._context_broken(path, target)

    def _context_broken(self, path: str, target: str) -> str:
        here, there = self.context_of(path), self.context_of(target)
        if there is None or here == there:
            return ""
        if here is not None and here.may_import is not None and there.name not in here.may_import:
            return f"context {here.name} may not import context {there.name}"
        if there.public and not matches(target, there.public):
            return f"{printable(target)} is not public in context {there.name}"
        return ""

    def _forbidden_module(self, path: str, made: Import) -> str:
        module = f"{made.module}.{made.name}" if made.name not in {"", "*"} else made.module
        for rule in self.rules.forbidden:
            if _applies(rule, self.layer_of(path), path):
                for name in rule.targets:
                    if module == name or module.startswith((f"{name}.", f"{name}/", f"{name}::", f"{name}\\")):
                        return f"{rule.source} may not import {name}"
        return ""


def read_layers(project: Project, graph: ImportGraph) -> Layers:
    """What dovetail.toml declares; where it says nothing of layers and contexts, what the imports suggest."""
    text = project.read(SETTINGS) if SETTINGS in project.files else None
    rules = read_rules(text) if text is not None else Rules()
    source = [path for path, facts in project.files.items() if facts.language]
    declared = bool(rules.layers or rules.contexts)
    return Layers(declared, rules, infer(source, graph, _languages(project)), graph, source)


def _languages(project: Project) -> Mapping[str, str]:
    return {path: facts.language for path, facts in project.files.items()}


def _applies(rule: Forbidden, layer: str, path: str) -> bool:
    return rule.source == layer or matches(path, (rule.source,))


def _module_named(rule: Forbidden, target: str) -> bool:
    return any(("/" in name or "*" in name or name == target) and matches(target, (name,)) for name in rule.targets)


def _shown(made: Import) -> str:
    return f"{made.module} ({made.name})" if made.name else made.module
