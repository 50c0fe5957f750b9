"""The repository map: the definitions that matter most for a task, as signatures by file, within a budget of tokens.

Files are ranked by PageRank over the graph of references, teleporting to what the task is about; a definition's rank is what the
files that use it pass on to it. The same files and words always give the same map.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from dovetail.agent.repo.calls import Names
from dovetail.agent.repo.facts import CONTAINERS, FileFacts, Symbol
from dovetail.agent.repo.focus import Focus, focus_on
from dovetail.agent.repo.graph import ImportGraph
from dovetail.agent.repo.testfiles import supports_tests
from dovetail.agent.repo.text import printable

_DAMPING = 0.85
_DAMPING_FOCUSED = 0.5
"""How much of a file's rank it passes on: less where the task says where to look."""

_FULL = 4.0
"""References of less weight than this, all together, pass on less than a file's whole rank: one stray name says little."""

_OWN = 0.3
"""The share of a file's rank that its definitions have by themselves, however little they are used."""

_ROUNDS = 60
_ENOUGH = 1e-9
_SHOWN = CONTAINERS - {"namespace"} | {"function", "method", "macro", "type", "constant", "prototype"}
_COMMON = 6
"""A name that more files define says nothing of which one is meant, unless an import does."""

_GUESSED = 0.3
"""What a use weighs that no import explains, shared by all files that use the name: ``append`` says little."""

_UNASKED = 0.1
"""The share of jumps that go to files which have nothing to do with the task."""

_OF_TESTS = 0.2
_HIDDEN = 0.2


@dataclass(frozen=True)
class Ground:
    """What a map is drawn from: files, imports, the files that define and use each name, and what names mean."""

    files: Mapping[str, FileFacts]
    graph: ImportGraph
    defined: Mapping[str, set[str]]
    used: Mapping[str, set[str]]
    names: Names


@dataclass(frozen=True)
class Link:
    """References from one file to a name that another one defines."""

    source: str
    target: str
    name: str
    weight: float


def repo_map(ground: Ground, budget: int, focus: Sequence[str], count: Callable[[str], int]) -> str:
    """The map as text; never more than ``budget`` by ``count``."""
    ranked = rank_symbols(ground, focus_on(ground.files, ground.defined, focus))
    low, high = 0, len(ranked)
    best = ""
    while low < high:
        middle = (low + high + 1) // 2
        text = render(ranked[:middle], ground.files)
        if count(text) <= budget:
            low, best = middle, text
        else:
            high = middle - 1
    return best


def rank_symbols(ground: Ground, wanted: Focus) -> list[Symbol]:
    """Definitions worth showing, those that matter most first."""
    links = reference_links(ground, wanted)
    ranks = page_rank(links, _teleport(ground.files, wanted), _DAMPING_FOCUSED if wanted.files else _DAMPING)
    total: dict[str, float] = {}
    for link in links:
        total[link.source] = total.get(link.source, 0.0) + link.weight
    passed: dict[tuple[str, str], float] = {}
    for link in links:
        key = (link.target, link.name)
        passed[key] = passed.get(key, 0.0) + ranks[link.source] * link.weight / max(total[link.source], _FULL)
    scored = []
    for path, facts in ground.files.items():
        trust = _OF_TESTS if supports_tests(path, facts.language) and path not in wanted.files else 1.0
        shown = [symbol for symbol in facts.definitions if _is_shown(symbol, facts)]
        for symbol in shown:
            own = passed.get((path, symbol.name), 0.0) + ranks.get(path, 0.0) * _OWN / len(shown)
            own *= trust * (1.0 if symbol.exported else _HIDDEN) * (1.0 + wanted.names.get(symbol.name, 0.0))
            own *= 1.0 + wanted.files.get(path, 0.0)
            scored.append((-own, path, symbol.line, symbol))
    return [entry[-1] for entry in sorted(scored)]


def reference_links(ground: Ground, wanted: Focus) -> list[Link]:
    """Who refers to whom by which name; surest where an import leads there, weak where only the name fits."""
    links: list[Link] = []
    for path, facts in ground.files.items():
        direct = ground.graph.imports.get(path, {})
        further = {inner for target in direct for inner in ground.graph.imports.get(target, ())}
        trust = _OF_TESTS if supports_tests(path, facts.language) else 1.0
        links += [Link(path, target, "", 0.3 * trust) for target in direct]
        for name, uses in facts.uses.items():
            definers = ground.defined.get(name)
            if definers is None or (path in definers and not definers & direct.keys()):
                continue
            boost = trust * (1.0 + wanted.names.get(name, 0.0))
            near, passed_on = definers & direct.keys(), definers & further
            if near:
                targets, amount = near, math.sqrt(len(uses))
            elif passed_on:
                targets, amount = passed_on, 0.5 * math.sqrt(len(uses))
            elif len(definers) < _COMMON:
                targets = {target for target in definers if ground.files[target].language == facts.language}
                amount = _GUESSED * math.sqrt(ground.names.open_uses(path, name)) / len(ground.used[name])
            else:
                continue
            links += [Link(path, target, name, boost * amount / len(targets)) for target in sorted(targets) if amount]
    return links


def page_rank(links: Sequence[Link], teleport: Mapping[str, float], damping: float) -> dict[str, float]:
    """The share of a random reader's time that each file gets, following references and jumping by ``teleport``."""
    nodes = list(teleport)
    position = {path: at for at, path in enumerate(nodes)}
    steps: list[dict[int, float]] = [{} for _ in nodes]
    for link in links:
        out = steps[position[link.source]]
        target = position[link.target]
        out[target] = out.get(target, 0.0) + link.weight
    flows = []
    for out in steps:
        whole = max(sum(out.values()), _FULL)
        flows.append([(target, damping * weight / whole) for target, weight in out.items()])
    whole = sum(teleport.values()) or 1.0
    jump = [teleport[path] / whole for path in nodes]
    ranks = list(jump)
    for _ in range(_ROUNDS):
        following = [0.0] * len(nodes)
        for at, flow in enumerate(flows):
            for target, share in flow:
                following[target] += ranks[at] * share
        lost = 1.0 - sum(following)
        following = [lost * jump[at] + got for at, got in enumerate(following)]
        change = sum(abs(new - old) for new, old in zip(following, ranks, strict=True))
        ranks = following
        if change < _ENOUGH:
            break
    return dict(zip(nodes, ranks, strict=True))


def render(symbols: Sequence[Symbol], files: Mapping[str, FileFacts]) -> str:
    """Signatures by file, files in the order of their best definition, definitions in the order of the file."""
    by_file: dict[str, dict[str, Symbol]] = {}
    for symbol in symbols:
        chosen = by_file.setdefault(symbol.path, {})
        known = files[symbol.path].by_qualified
        parent = symbol.parent
        while parent:
            if parent in known:
                chosen.setdefault(parent, known[parent])
            parent = parent.rpartition(".")[0]
        chosen.setdefault(
            f"{symbol.qualified}:{symbol.line}" if symbol != known[symbol.qualified] else symbol.qualified, symbol
        )
    lines: list[str] = []
    for path, shown in by_file.items():
        lines.append(f"{printable(path)}:")
        for symbol in sorted(shown.values(), key=lambda symbol: (symbol.line, symbol)):
            lines.append("  " * (1 + symbol.qualified.count(".")) + printable(symbol.signature))
    return "".join(line + "\n" for line in lines)


def _teleport(files: Mapping[str, FileFacts], wanted: Focus) -> dict[str, float]:
    """Where the reader jumps to: to what the task is about, and a little to everything; tests less."""
    base = {
        path: _OF_TESTS if supports_tests(path, facts.language) else 1.0
        for path, facts in files.items()
        if facts.language
    }
    asked = {path: wanted.files.get(path, 0.0) for path in base}
    scale = _UNASKED * sum(asked.values()) / (sum(base.values()) or 1.0) if any(asked.values()) else 1.0
    return {path: scale * share + asked[path] for path, share in base.items()}


def _is_shown(symbol: Symbol, facts: FileFacts) -> bool:
    """Not fields, not functions inside functions."""
    if symbol.kind not in _SHOWN or not symbol.signature:
        return False
    around = facts.by_qualified.get(symbol.parent)
    return around is None or around.kind in CONTAINERS
