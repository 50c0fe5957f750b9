"""Runs the failing command on fresh copies of the tree: does it fail, each time, and in the same way?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dovetail.agent.checks.commands.run import Runner
from dovetail.agent.debug.traces.failure import Failure, read_failure
from dovetail.agent.sandbox.outcome import Outcome

Kind = Literal["fails", "passes", "flaky", "cannot be run"]
_CANNOT = {126: "it may not be executed", 127: "there is no such command"}
_NO_TESTS = {4: "pytest cannot use these arguments", 5: "pytest finds no test"}


@dataclass(frozen=True)
class Reproduction:
    """What became of the runs. ``failure`` is that of the first run that failed."""

    kind: Kind
    runs: int
    failed: int
    same: bool
    """Whether every failing run failed in the same tests with the same words."""
    failure: Failure | None
    output: str
    why: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it; the output's last part."""
        return {
            "kind": self.kind,
            "runs": self.runs,
            "failed": self.failed,
            "same_way": self.same,
            "why": self.why,
            "output": self.output[-4000:],
        }


def reproduce(
    runner: Runner, fresh: Callable[[], Path], command: tuple[str, ...], repeats: int, seconds: float
) -> Reproduction:
    """Run the command ``repeats`` times, each in a fresh copy."""
    outcomes: list[Outcome] = []
    for _ in range(repeats):
        outcome = runner.run(fresh(), command, seconds)
        why = cannot(outcome)
        if why:
            return Reproduction("cannot be run", len(outcomes) + 1, 0, True, None, outcome.output, why)
        outcomes.append(outcome)
    failures = [read_failure(each.output, each.ended_by, each.exit_code) for each in outcomes if not each.ok]
    kind: Kind = "passes" if not failures else "fails" if len(failures) == repeats else "flaky"
    same = len({(each.mode, each.tests) for each in failures}) <= 1
    output = next((each.output for each in outcomes if not each.ok), outcomes[-1].output)
    return Reproduction(kind, repeats, len(failures), same, failures[0] if failures else None, output)


def cannot(outcome: Outcome) -> str:
    """Why this was no run of the command at all; empty if it was one."""
    if outcome.ended_by == "not started":
        return "it could not be started"
    if "ReserveShadowMemoryRange failed" in outcome.output:
        return "AddressSanitizer needs more address space than the sandbox gives a command: build without it"
    if outcome.ended_by != "exit":
        return ""
    if outcome.exit_code in _NO_TESTS and ("no tests ran" in outcome.output or "ERROR: " in outcome.output):
        return _NO_TESTS[outcome.exit_code] if " FAILED " not in outcome.output else ""
    return _CANNOT.get(outcome.exit_code, "")
