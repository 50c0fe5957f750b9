"""The root cause as an accepted repair shows it: the places that had to change, and what was seen of their functions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher

from dovetail.agent.checks.case import Change
from dovetail.agent.debug.collect.observe import Call
from dovetail.agent.debug.suspects import Function
from dovetail.agent.debug.traces.place import enclosing
from dovetail.agent.repo.index import RepoIndex

_MOST_PLACES, _MOST_CALLS, _LONGEST = 3, 2, 160


def mended(
    index: RepoIndex, changes: Mapping[str, Change], suspects: Sequence[Function]
) -> list[tuple[Function, int, str]]:
    """Each changed place of the code as it was: its function, the line, what stood there."""
    known = {(each.path, each.name): each for each in suspects}
    found = []
    for path, change in changes.items():
        for line, code in _places(change):
            facts = index.files.get(path)
            symbol = enclosing(facts, line) if facts is not None else None
            name = symbol.qualified if symbol is not None else "<module>"
            first, last = (symbol.line, symbol.last_line) if symbol is not None else (line, line)
            found.append((known.get((path, name)) or Function(path, name, first, last), line, code))
    return found


def explain(places: Sequence[tuple[Function, int, str]], first: Function | None, calls: Sequence[Call]) -> str:
    """The places, the evidence for them, and what was suspected before."""
    said = "; ".join(f"{each.name} in {each.path}, line {line} ({code})" for each, line, code in places[:_MOST_PLACES])
    functions = {(each.path, each.name): each for each, _, _ in places}
    seen = [
        f"it was {reason}" if reason.startswith("run by") else reason
        for each in functions.values()
        for reason in each.reasons
    ]
    seen += list(dict.fromkeys(str(call) for each in functions.values() for call in calls if _is(call, each)))[
        :_MOST_CALLS
    ]
    parts = [f"The failure hangs on {said}"]
    parts += [f"Seen there: {'; '.join(seen)}"] if seen else []
    if first is not None and (first.path, first.name) not in functions:
        parts.append(f"Before that, {first.name} in {first.path} was the most suspicious: {'; '.join(first.reasons)}")
    return ". ".join(parts) + "."


def _is(call: Call, function: Function) -> bool:
    return call.path == function.path and function.line <= call.line + 1 and call.line <= function.last_line


def _places(change: Change) -> Iterator[tuple[int, str]]:
    before, after = (change.before or "").splitlines(), (change.after or "").splitlines()
    for tag, first, last, start, end in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag == "insert":
            yield max(1, first), f"`{_joined(after[start:end])}` was missing behind it"
        elif tag != "equal":
            yield first + 1, f"`{_joined(before[first:last])}`"


def _joined(lines: Sequence[str]) -> str:
    return " ".join(line.strip() for line in lines)[:_LONGEST]
