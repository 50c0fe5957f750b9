"""Whether an edit mends a failure, and nothing else breaks: rungs from cheap to dear, the failing command among the first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dovetail.agent.checks.case import Grants
from dovetail.agent.checks.commands.run import Runner
from dovetail.agent.checks.commands.tools import Tool
from dovetail.agent.checks.finding import evidence
from dovetail.agent.debug.honesty import Honesty
from dovetail.agent.debug.reproduce import cannot
from dovetail.agent.debug.traces.failure import read_failure
from dovetail.agent.loop.ladder import Climb, Commands, Verdict, command_climb, static_climb
from dovetail.agent.loop.limits import Budget
from dovetail.agent.loop.workspace import Workspace

COMMAND = "failing command"


@dataclass
class Judgement:
    """``refused`` is the first objection, in words; empty: the edit is right as far as anything here can tell."""

    refused: str = ""
    climb: Climb = field(default_factory=Climb)


class Judge:
    """Judges edits of one run. ``command`` has to pass ``repeats`` times, the tests in ``failing`` have to pass."""

    def __init__(
        self,
        workspace: Workspace,
        commands: Commands,
        runner: Runner,
        budget: Budget,
        command: tuple[str, ...],
        *,
        repeats: int,
        seconds: float,
        grants: Grants,
        failing: frozenset[str],
    ) -> None:
        self._workspace, self._commands, self._runner, self._budget = workspace, commands, runner, budget
        self._command, self._repeats, self._seconds = command, repeats, seconds
        self._grants, self._failing = grants, failing
        self.asked = 0

    def judge(self, edit: Mapping[str, str], allowed: frozenset[str]) -> Judgement:
        """Climb the rungs with an edit."""
        self.asked += 1
        case = self._workspace.show(edit, allowed, self._grants)
        climb = static_climb(case, [Honesty()])
        if not climb.passed:
            return _refused(climb)
        said = self._runs(edit)
        if said:
            return Judgement(said, climb)
        climb.verdicts.append(Verdict(COMMAND, ()))
        command_climb(climb, case, self._commands, self._workspace.tried(edit))
        if not climb.passed:
            return _refused(climb)
        return Judgement(self._still(climb), climb)

    def _runs(self, edit: Mapping[str, str]) -> str:
        """Why the failing command does not pass, as often as it is run."""
        for _ in range(self._repeats):
            self._budget.step()
            outcome = self._runner.run(self._workspace.tried(edit), self._command, self._seconds)
            why = cannot(outcome)
            if why:
                return f"{COMMAND}: with it, {why}"
            if not outcome.ok:
                failure = read_failure(outcome.output, outcome.ended_by, outcome.exit_code)
                where = f" in {failure.tests[0]}" if failure.tests else ""
                return f"{COMMAND}: still fails{where}: {failure.headline}"
        return ""

    def _still(self, climb: Climb) -> str:
        """The tests that failed have to pass: not to be skipped, nor to be gone."""
        if climb.tests is None:
            return ""
        for name in sorted(self._failing):
            how = climb.tests.outcomes.get(name, "not run")
            if how != "passed":
                return f"all tests: {name} failed before and is {how} now"
        return ""


def failing_tests(commands: Commands, named: tuple[str, ...]) -> frozenset[str]:
    """The tests that the failing command named, as the project's own test run calls them."""
    failed: set[str] = set()
    for tool in _test_tools(commands):
        failed |= commands.base_tests(tool).failed
    return frozenset(name for name in failed if any(_same(name, other) for other in named))


def _test_tools(commands: Commands) -> list[Tool]:
    return [tool for tool in commands.tools if tool.kind == "tests"]


def _same(name: str, other: str) -> bool:
    """Whether two runners' names mean one test: ``tests/test_a.py::T::test_b``, ``test_b (tests.test_a.T.test_b)``."""
    return name == other or _dotted(name) == _dotted(other)


def _dotted(name: str) -> str:
    inner = name.rpartition(" (")[2].removesuffix(")") if name.endswith(")") and " (" in name else name
    return inner.replace(".py::", ".").replace("::", ".").replace("/", ".")


def _refused(climb: Climb) -> Judgement:
    rung = next(verdict.rung for verdict in climb.verdicts if verdict.findings)
    return Judgement(f"{rung}: {evidence(climb.findings, 3)}", climb)
