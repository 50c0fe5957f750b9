"""From a failing command to suspicious functions and a cause, with the evidence for them. Asks no model, edits nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dovetail.agent.checks.commands.run import Runner
from dovetail.agent.checks.commands.tools import Tool, shell
from dovetail.agent.debug.collect.observe import Observed, observe
from dovetail.agent.debug.history import last_changes
from dovetail.agent.debug.report import FixReport
from dovetail.agent.debug.reproduce import reproduce
from dovetail.agent.debug.settings import FixSettings
from dovetail.agent.debug.suspects import Function, rank, source
from dovetail.agent.debug.traces.frames import read_frames
from dovetail.agent.debug.traces.place import Place, place_all
from dovetail.agent.loop.limits import Budget
from dovetail.agent.loop.workspace import Workspace
from dovetail.agent.problems import SandboxProblem
from dovetail.agent.repo.index import RepoIndex

_MOST_CALLS, _MOST_VALUES = 3, 12


@dataclass
class Diagnosis:
    """What a repair needs beside the report."""

    command: tuple[str, ...]
    places: list[Place] = field(default_factory=list)
    observed: Observed = field(default_factory=Observed)

    @property
    def failing(self) -> tuple[str, ...]:
        """The failing tests, as the collector knows them."""
        return tuple(sorted(self.observed.failed))


def diagnose(
    settings: FixSettings,
    workspace: Workspace,
    runner: Runner,
    tools: Sequence[Tool],
    budget: Budget,
    report: FixReport,
) -> Diagnosis:
    """Reproduce, collect, rank; what is found goes into the report."""
    found = Diagnosis(shell(settings.root, settings.command))

    told = reproduce(runner, lambda: _tree(budget, workspace), found.command, settings.repeats, settings.check_seconds)
    report.reproduction = told
    if told.failure is None:
        report.outcome = "does not fail" if told.kind == "passes" else "cannot be run"
        return found
    found.observed = _observe(settings, workspace, runner, tools, budget, found.command, report)
    index = workspace.before
    roots = (workspace.tried({}), settings.root)
    crashes = [frame for crash in found.observed.crashes[:1] for frame in crash.frames]
    found.places = place_all(index, [*crashes, *read_frames(told.output)], *roots)
    report.suspects = rank(index, found.observed, found.places, told.failure.values)
    report.place = _shown(index, found.places)
    report.seen = list(_seen(index, found.observed, report.suspects))
    report.touched = last_changes(settings.root, report.suspects[:5])
    report.cause = _cause(report)
    if told.kind == "flaky":
        report.outcome = "flaky"
        report.not_verified.append(
            "No patch was tried: a command that passes now and then shows nothing by passing. Make it fail every time first."
        )
    return found


def _observe(
    settings: FixSettings,
    workspace: Workspace,
    runner: Runner,
    tools: Sequence[Tool],
    budget: Budget,
    command: tuple[str, ...],
    report: FixReport,
) -> Observed:
    """What the failing command does, and what the project's other Python tests do."""
    seen = Observed()
    if not any(facts.language == "python" for facts in workspace.before.files.values()):
        return seen
    more = [tool.command for tool in tools if tool.kind == "tests" and tool.name in ("pytest", "unittest")]
    try:
        for each in [command, *more]:
            seen.take(observe(runner, _tree(budget, workspace), each, settings.check_seconds))
    except SandboxProblem as problem:
        report.notes.append(f"Nothing was collected: {problem}")
    if not seen.failed:
        report.notes.append(
            "The collector saw no failing Python test: what is suspicious follows from the output alone."
        )
    return seen


def _tree(budget: Budget, workspace: Workspace) -> Path:
    budget.step()
    return workspace.tried({})


def _shown(index: RepoIndex, places: Sequence[Place]) -> str:
    """The innermost place, with its code."""
    if not places:
        return ""
    place = places[0]
    code = "".join(source(index, place.path, place.line, place.line)).strip()
    return f"{place.path}:{place.line} in {place.function}: {code}"


def _seen(index: RepoIndex, observed: Observed, suspects: Sequence[Function]) -> Iterable[str]:
    """Values of the traceback's frames, and calls of the most suspicious functions in failing tests."""
    said: list[str] = []
    for crash in observed.crashes[:1]:
        for frame, values in list(zip(crash.frames, crash.values, strict=True))[:3]:
            named = ", ".join(
                f"{name} = {value}" for name, value in values.items() if name.isidentifier() and name != "self"
            )
            if named:
                said.append(f"{frame.path}:{frame.line} in {frame.function}: {named}"[:400])
    for function in suspects[:5]:
        calls = [
            call
            for call in observed.calls
            if call.path == function.path and function.line <= call.line + 1 and call.line <= function.last_line
        ]
        said += [f"{function.path}: {call}"[:300] for call in calls[:_MOST_CALLS]]
    return list(dict.fromkeys(said))[:_MOST_VALUES]


def _cause(report: FixReport) -> str:
    """What code alone can say of the cause."""
    if not report.suspects:
        return "Nothing in the repository was seen to take part in the failure."
    first = report.suspects[0]
    return f"Most suspicious is {first.name} in {first.path}, line {first.line} and below: {'; '.join(first.reasons)}."
