"""Ranks functions by what points at them: tests that run them, tracebacks, values that a failing assertion saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from dovetail.agent.debug.collect.observe import Observed
from dovetail.agent.debug.spectrum import Suspect, ochiai
from dovetail.agent.debug.traces.failure import Values
from dovetail.agent.debug.traces.place import Place, enclosing
from dovetail.agent.repo.facts import Symbol
from dovetail.agent.repo.files import read
from dovetail.agent.repo.index import RepoIndex
from dovetail.agent.repo.testfiles import supports_tests

_INNERMOST, _OUTER, _VALUE, _CALLED, _MOST = 0.6, 0.3, 0.3, 0.4, 30
_TRIVIAL = frozenset({"None", "True", "False", "0", "1", "''", "[]", "{}", "()"})


@dataclass
class Function:
    """A suspicious function. ``lines`` are its own suspicious lines with their Ochiai scores."""

    path: str
    name: str
    line: int
    last_line: int
    score: float = 0.0
    lines: list[tuple[int, float]] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {**asdict(self), "score": round(self.score, 3)}

    def __str__(self) -> str:
        return f"{self.path}:{self.line} {self.name} ({self.score:.2f}): {'; '.join(self.reasons)}"


def rank(index: RepoIndex, observed: Observed, places: Sequence[Place], values: Sequence[Values]) -> list[Function]:
    """Functions outside of the tests, the most suspicious first."""
    ranking = _Ranking(index)
    ranking.by_spectrum(observed)
    ranking.by_traceback(places)
    ranking.by_values(observed, values)
    if not ranking.found:
        ranking.by_calls_of_tests(places)
    order = sorted(ranking.found.values(), key=lambda each: (-each.score, each.path, each.line))
    return order[:_MOST]


class _Ranking:
    def __init__(self, index: RepoIndex) -> None:
        self._index = index
        self.found: dict[tuple[str, str], Function] = {}

    def by_spectrum(self, observed: Observed) -> None:
        """The highest Ochiai score of a function's lines."""
        for suspect in ochiai(observed.runs, observed.failed):
            function = self._at(suspect.path, suspect.line)
            if function is None:
                continue
            if not function.lines:
                function.score += suspect.score
                function.reasons.append(self._counts(observed, suspect))
            function.lines.append((suspect.line, round(suspect.score, 3)))

    def by_traceback(self, places: Sequence[Place]) -> None:
        """The innermost place outside of the tests most, those around it less."""
        seen = 0
        for place in places:
            function = None if place.in_tests else self._at(place.path, place.line)
            if function is None or any(reason.startswith("the failure ") for reason in function.reasons):
                continue
            function.score += _INNERMOST if seen == 0 else _OUTER / seen
            where = "comes from" if seen == 0 else "passes through"
            function.reasons.append(f"the failure {where} line {place.line}")
            if not any(line == place.line for line, _ in function.lines):
                function.lines.insert(0, (place.line, 1.0 if seen == 0 else 0.5))
            seen += 1

    def by_values(self, observed: Observed, values: Sequence[Values]) -> None:
        """Functions that returned what a failing assertion saw."""
        told = {value.seen for value in values} - _TRIVIAL
        for call in observed.calls:
            function = self._at(call.path, call.line)
            if function is None or call.returned not in told:
                continue
            reason = f"it returned {call.returned}, which the failing assertion saw"
            if reason not in function.reasons:
                function.score += _VALUE
                function.reasons.append(reason)

    def by_calls_of_tests(self, places: Sequence[Place]) -> None:
        """Where nothing else is known: what the failing tests call, and what that calls."""
        for place in places:
            facts = self._index.files.get(place.path)
            if facts is None or not place.in_tests:
                continue
            symbol = enclosing(facts, place.line)
            # a test may be no definition: a function without a name, given to a call
            span = (symbol.line, symbol.last_line) if symbol is not None else (place.line - 3, place.line + 12)
            name = symbol.name if symbol is not None else f"at {place.path}:{place.line}"
            wave, weight = self._called(place.path, *span), _CALLED
            for step in range(2):
                if step:
                    wave = [called for each in wave for called in self._called(each.path, each.line, each.last_line)]
                for called in wave:
                    function = self._at(called.path, called.line)
                    if function is not None and not function.reasons:
                        function.score += weight
                        function.reasons.append(f"the failing test {name} uses it")
                weight /= 2

    def _called(self, path: str, first: int, last: int) -> list[Symbol]:
        names = [
            use.name
            for use in self._index.files[path].references
            if first <= use.line <= last and use.kind in ("call", "member", "use")
        ]
        found = [symbol for name in dict.fromkeys(names) for symbol in self._index.definitions(name)]
        return [each for each in found if not supports_tests(each.path, self._index.files[each.path].language)][:20]

    def _at(self, path: str, line: int) -> Function | None:
        facts = self._index.files.get(path)
        if facts is None or supports_tests(path, facts.language):
            return None
        symbol = enclosing(facts, line)
        name = symbol.qualified if symbol is not None else "<module>"
        if (path, name) not in self.found:
            first, last = (symbol.line, symbol.last_line) if symbol is not None else (line, line)
            self.found[path, name] = Function(path, name, first, last)
        return self.found[path, name]

    @staticmethod
    def _counts(observed: Observed, suspect: Suspect) -> str:
        tests = observed.runs[suspect.path, suspect.line]
        failing, passing = len(tests & observed.failed), len(tests - observed.failed)
        return (
            f"run by {failing} of {len(observed.failed)} failing and {passing} of {len(observed.passed)} passing tests"
        )


def source(index: RepoIndex, path: str, first: int, last: int) -> list[str]:
    """Lines of a file as they are in the repository."""
    text = (read(index.root, path) or b"").decode("utf-8", "replace").split("\n")
    return text[first - 1 : last]
