"""The index's answers as text for people and models, and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dovetail.agent.problems import FileProblem
from dovetail.agent.repo.facts import Reference, Symbol
from dovetail.agent.repo.files import read
from dovetail.agent.repo.impact import Reached
from dovetail.agent.repo.index import RepoIndex
from dovetail.agent.repo.text import printable
from dovetail.agent.repo.tokens import estimate_tokens

_MOST_LINES = 60
_LONGEST_LINE = 120


@dataclass(frozen=True)
class Answer:
    """One answer in both forms."""

    text: str
    data: Any


def map_(index: RepoIndex, budget: int, focus: Sequence[str]) -> Answer:
    """The ranked map, and what was left out of it."""
    text = index.map(budget, focus)
    shown = sum(not line.startswith(" ") for line in text.splitlines())
    data = {"budget": budget, "tokens": estimate_tokens(text), "focus": list(focus), "files_shown": shown, "text": text}
    if not text:
        named = f"Nothing of {index.root} fits {budget} tokens." if _source(index) else "No source files found."
        return Answer(named, data)
    return Answer(text, data)


def callers(index: RepoIndex, name: str) -> Answer:
    """Who uses a definition, by how sure that is."""
    symbols = index.definitions(name)
    if not symbols:
        raise FileProblem(f"{name} is not defined in this repository.")
    lines: list[str] = []
    data = []
    for symbol in symbols:
        found = index.callers(symbol)
        lines.append(f"{_place(symbol)}  {printable(symbol.signature)}")
        lines += [f"  {caller.certainty}: {_use(index, caller.reference)}" for caller in found[:_MOST_LINES]]
        lines += _left_out(len(found))
        if not found:
            lines.append("  no use found")
        data.append(
            {
                "symbol": symbol._asdict(),
                "callers": [{**use._asdict(), "certainty": str(certainty)} for use, certainty in found],
            }
        )
    return Answer("\n".join(lines), data)


def impact(index: RepoIndex, what: str) -> Answer:
    """What may break, with the tests to run."""
    found = index.impact(what)
    lines = [f"Changing {printable(what)} ({', '.join(map(printable, found.paths))}) may break:"]
    lines.append(f"uses ({len(found.callers)}):")
    for affected in found.callers[:_MOST_LINES]:
        step = "" if affected.distance == 1 else f", {affected.distance} calls away"
        of = printable(affected.of.qualified)
        lines.append(f"  {affected.certainty}{step}: {of} in {_use(index, affected.reference)}")
    lines += _left_out(len(found.callers))
    lines.append(f"files that import it ({len(found.importers)}):")
    lines += _reached(found.importers)
    lines.append(f"affected tests ({len(found.tests)}), nearest first:")
    lines += _reached(found.tests)
    data = {
        "paths": found.paths,
        "symbols": [symbol._asdict() for symbol in found.symbols],
        "callers": [
            {
                **affected.reference._asdict(),
                "of": affected.of.qualified,
                "certainty": str(affected.certainty),
                "distance": affected.distance,
            }
            for affected in found.callers
        ],
        "importers": [reached._asdict() for reached in found.importers],
        "tests": [reached._asdict() for reached in found.tests],
    }
    return Answer("\n".join(lines), data)


def layers(index: RepoIndex) -> Answer:
    """The layers, and every import against them."""
    found = index.layers.violations()
    lines = [index.layers.describe(), f"imports against them: {len(found)}", *(f"  {violation}" for violation in found)]
    rules, guessed = index.layers.rules, index.layers.inferred
    data = {
        "declared": index.layers.declared,
        "order": list(rules.order) if index.layers.declared else [list(level) for level in guessed.levels],
        "cycles": [] if index.layers.declared else [list(knot) for knot in guessed.knots],
        "violations": [violation._asdict() for violation in found],
    }
    return Answer("\n".join(lines), data)


def patterns(index: RepoIndex) -> Answer:
    """The habits of the code base."""
    text = index.patterns() or "Too few files to show habits."
    return Answer(text, [convention._asdict() for convention in index.conventions])


def _use(index: RepoIndex, use: Reference) -> str:
    content = read(index.root, use.path) or b""
    lines = content.decode("utf-8", "replace").split("\n")
    code = lines[use.line - 1].strip() if use.line <= len(lines) else ""
    within = f" in {printable(use.within)}" if use.within else ""
    return f"{printable(use.path)}:{use.line}{within} [{use.kind}] {printable(code[:_LONGEST_LINE])}"


def _place(symbol: Symbol) -> str:
    return f"{printable(symbol.path)}:{symbol.line}"


def _reached(found: Sequence[Reached]) -> list[str]:
    shown = [
        f"  {printable(one.path)}" + (f" (over {printable(one.via)})" if one.distance > 1 else "")
        for one in found[:_MOST_LINES]
    ]
    return shown + _left_out(len(found))


def _left_out(count: int) -> list[str]:
    return [f"  ... and {count - _MOST_LINES} more (--json has all)"] if count > _MOST_LINES else []


def _source(index: RepoIndex) -> bool:
    return any(facts.language for facts in index.files.values())
