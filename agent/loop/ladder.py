"""The check ladder: rungs from cheap to dear on one candidate, each against the code as it was."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from dovetail.agent.checks.api import PublicApi
from dovetail.agent.checks.case import Case, Rung
from dovetail.agent.checks.commands.results import TestRun
from dovetail.agent.checks.commands.run import Runner, diagnose, new_diagnostics, run_tests, worse
from dovetail.agent.checks.commands.tools import Tool
from dovetail.agent.checks.finding import Finding
from dovetail.agent.checks.kept_tests import KeptTests, rewritten
from dovetail.agent.checks.layering import Layering
from dovetail.agent.checks.parses import Parses
from dovetail.agent.checks.policy import Policy
from dovetail.agent.loop.limits import Budget
from dovetail.agent.loop.trajectory import Trajectory, digest
from dovetail.agent.problems import NoSandbox, SandboxProblem
from dovetail.agent.repo.testfiles import is_test

_COVERS = {"types": "types and lint", "lint": "types and lint", "tests": "tests kept", "command": "command"}

STATIC: tuple[Rung, ...] = (Policy(), Parses(), Layering(), PublicApi(), KeptTests())


class Verdict(NamedTuple):
    """What one rung says. ``skipped``: why it says nothing; then it shows nothing. ``covers``: the invariant it is about."""

    rung: str
    findings: tuple[Finding, ...]
    skipped: str = ""
    covers: str = ""

    @property
    def passed(self) -> bool:
        """Whether it was asked, and objects to nothing."""
        return not self.findings and not self.skipped


@dataclass
class Climb:
    """The verdicts on one candidate, up to the first rung that objects."""

    verdicts: list[Verdict] = field(default_factory=list)
    tests: TestRun | None = None
    """Outcomes of all tests, where all were run."""
    ran: bool = False
    """Whether nothing that runs nothing objects, so that the project's tools were asked."""
    commands: dict[str, tuple[bool, bool]] = field(default_factory=dict)
    """The user's commands: whether each passed before, and passes now."""
    uncontained: str = ""
    """Why no command was run, where nothing can contain one."""

    @property
    def findings(self) -> list[Finding]:
        """All objections."""
        return [finding for verdict in self.verdicts for finding in verdict.findings]

    @property
    def passed(self) -> bool:
        """Whether no rung objects."""
        return not self.findings


class Commands:
    """The project's tools on trees: each answer kept in the trajectory, those on the base asked once."""

    def __init__(
        self,
        runner: Runner,
        tools: Sequence[Tool],
        base: Callable[[], Path],
        trajectory: Trajectory,
        budget: Budget,
        seconds: float,
    ) -> None:
        self.tools = [tool for tool in tools if not tool.missing]
        self.missing = [tool for tool in tools if tool.missing]
        self._runner, self._base, self._seconds = runner, base, seconds
        self._trajectory, self._budget = trajectory, budget
        self._answers: dict[str, Any] = {}

    def diagnostics(self, tool: Tool, tree: Path, of: str) -> list[Finding]:
        """What a tool says of a tree; ``of`` names its content."""
        kept = self._kept("diagnose", tool, of, lambda: [vars(each) for each in self._diagnose(tool, tree)])
        return [Finding(**each) for each in kept]

    def base_diagnostics(self, tool: Tool) -> list[Finding]:
        """What it says of the user's tree."""
        return self.diagnostics(tool, self._base(), "base")

    def tests(self, tool: Tool, tree: Path, of: str, only: Sequence[str] = ()) -> TestRun:
        """The outcomes of a tree's tests, or of those in some files."""
        kept = self._kept(f"test {sorted(only)}", tool, of, lambda: _plain(self._test(tool, tree, only)))
        failures = {name: Finding(**each) for name, each in kept["failures"].items()}
        return TestRun(kept["outcomes"], failures, kept["broken"])

    def base_tests(self, tool: Tool, only: Sequence[str] = ()) -> TestRun:
        """The outcomes on the user's tree."""
        return self.tests(tool, self._base(), "base", only)

    def _diagnose(self, tool: Tool, tree: Path) -> list[Finding]:
        return diagnose(self._runner, tree, tool, self._time())

    def _test(self, tool: Tool, tree: Path, only: Sequence[str]) -> TestRun:
        return run_tests(self._runner, tree, tool, self._time(), only)

    def _time(self) -> float:
        return max(1.0, min(self._seconds, self._budget.seconds_left))

    def _kept(self, what: str, tool: Tool, of: str, ask: Callable[[], object]) -> Any:
        key = digest({"command": tool.name, "what": what, "of": of})
        if key not in self._answers:
            known, value = self._trajectory.known(key)
            if known:
                self._budget.steps += 1
            else:
                self._budget.step()
                value = ask()
                self._trajectory.append({"kind": "command", "name": tool.name, "key": key, "value": value})
            self._answers[key] = value
        return self._answers[key]


def _plain(run: TestRun) -> dict[str, object]:
    return {
        "outcomes": run.outcomes,
        "failures": {name: vars(finding) for name, finding in run.failures.items()},
        "broken": run.broken,
    }


def static_climb(case: Case, more: Sequence[Rung] = ()) -> Climb:
    """The rungs that run nothing."""
    climb = Climb()
    for rung in (*STATIC, *more):
        climb.verdicts.append(Verdict(rung.name, tuple(rung.findings(case)), covers=rung.name))
        if climb.verdicts[-1].findings:
            break
    return climb


def command_climb(climb: Climb, case: Case, commands: Commands, tree: Path) -> None:
    """The rungs that run the project's tools: types and lint, affected tests, then all tests.

    A tool that is missing, and a sandbox that is not there, give a verdict that shows nothing.
    """
    climb.ran = True
    texts = {path: change.after for path, change in case.changes.items()}
    of = digest(texts)
    try:
        for tool in commands.tools:
            if tool.kind != "tests":
                after = commands.diagnostics(tool, tree, of)
                before = commands.base_diagnostics(tool) if after or tool.kind == "command" else []
                found = new_diagnostics(before, after, texts)
                if tool.kind == "command":
                    climb.commands[tool.name] = (not before, not after)
                objections = tuple(replace(each, rung=tool.name) for each in found)
                climb.verdicts.append(Verdict(tool.name, objections, covers=_COVERS[tool.kind]))
                if found:
                    return
        for tool in commands.tools:
            if tool.kind == "tests" and not _tests(climb, case, commands, tool, tree, texts, of):
                return
    except SandboxProblem as problem:
        climb.uncontained = str(problem) if isinstance(problem, NoSandbox) else ""
        asked = {verdict.rung for verdict in climb.verdicts}
        climb.verdicts += [
            Verdict(tool.name, (), str(problem), _COVERS[tool.kind])
            for tool in commands.tools
            if tool.name not in asked
        ]
    climb.verdicts += [Verdict(tool.name, (), tool.missing, _COVERS[tool.kind]) for tool in commands.missing]


def _tests(
    climb: Climb, case: Case, commands: Commands, tool: Tool, tree: Path, texts: Mapping[str, str | None], of: str
) -> bool:
    """Affected tests, then all; whether nothing objects."""
    only = affected_tests(case) if tool.narrow else []
    if only:
        there = [path for path in only if path in case.before.files]
        before = commands.base_tests(tool, there) if there else TestRun()
        climb.verdicts.append(_compared("affected tests", before, commands.tests(tool, tree, of, only), texts))
        if climb.verdicts[-1].findings:
            return False
    climb.tests = commands.tests(tool, tree, of)
    base = commands.base_tests(tool)
    climb.verdicts.append(_compared("all tests", base, climb.tests, texts))
    changed = tuple(rewritten(case, base.failed & climb.tests.passed))
    if changed:
        climb.verdicts.append(Verdict(KeptTests.name, changed, covers=KeptTests.name))
        return False
    return not climb.verdicts[-1].findings


def _compared(rung: str, before: TestRun, after: TestRun, texts: Mapping[str, str | None]) -> Verdict:
    """A run of tests against the one before the change; where that gave nothing, there is nothing to compare with."""
    found = tuple(worse(rung, before, after, texts))
    skipped = f"before the change the tests do not run through: {before.broken}" if before.broken and not found else ""
    return Verdict(rung, found, skipped, "tests kept")


def affected_tests(case: Case) -> list[str]:
    """The test files that reach what changed, nearest first."""
    there = [path for path, change in case.changes.items() if change.after is not None and path in case.after.files]
    reached = [found.path for found in case.after.impact(there).tests] if there else []
    changed = [path for path in there if is_test(path, case.after.files[path].language)]
    return list(dict.fromkeys([*changed, *reached]))[:50]
