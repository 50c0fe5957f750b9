"""Runs a project's tools contained, in a copy of the tree, and compares with the tree as it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from dovetail.agent.checks.commands.results import TestRun, read_diagnostics, read_junit, read_test_lines
from dovetail.agent.checks.commands.tools import REPORT, Tool
from dovetail.agent.checks.finding import Finding, nearest_code, new_ones
from dovetail.agent.problems import NoSandbox, SandboxProblem
from dovetail.agent.sandbox.config import SandboxConfig, read_config
from dovetail.agent.sandbox.outcome import Limits, Outcome
from dovetail.agent.sandbox.sandbox import Sandbox

_MOST_REPORT = 16 << 20


class Runner(Protocol):
    """Runs one command in a copy of the tree, contained."""

    @property
    def containment(self) -> str:
        """What contains it; empty where nothing does, and nothing is run."""

    def run(self, tree: Path, command: Sequence[str], seconds: float) -> Outcome:
        """How the command ended."""


class SandboxRunner:
    """The sandbox, made for each copy. ``refused`` says why nothing is run."""

    def __init__(self, root: Path, limits: Limits | None = None) -> None:
        self._root = root
        self._limits = limits or Limits()
        self._declared = read_config(root)
        self.refused = ""
        self._made: dict[Path, Sandbox] = {}

    @property
    def containment(self) -> str:
        """The names of the backends in use, or nothing yet."""
        return ", ".join(sorted({sandbox.name for sandbox in self._made.values()}))

    def run(self, tree: Path, command: Sequence[str], seconds: float) -> Outcome:
        """Run it there; its modules come from that copy, whatever is installed."""
        if tree not in self._made:
            try:
                self._made[tree] = Sandbox.choose(self._config(tree))
            except NoSandbox as problem:
                self.refused = str(problem)
                raise
        paths = ":".join(str(each) for each in (tree / "src", tree) if each.is_dir())
        return self._made[tree].run(list(command), timeout=seconds, env={"PYTHONPATH": paths}, limits=self._limits)

    def _config(self, tree: Path) -> SandboxConfig:
        tools = [self._root / name for name in (".venv", "venv", "node_modules")]
        readable = [each for each in tools if each.is_dir()]
        return replace(self._declared, root=tree, readable=(*self._declared.readable, *readable))


def diagnose(runner: Runner, tree: Path, tool: Tool, seconds: float) -> list[Finding]:
    """What a type checker, a linter or a command of the user's says of a tree."""
    outcome = runner.run(tree, tool.command, seconds)
    if outcome.ok:
        return []
    found = [_relative(tree, finding) for finding in read_diagnostics(tool.name, outcome.output)]
    return found or [Finding(tool.name, _ending(outcome))]


def run_tests(runner: Runner, tree: Path, tool: Tool, seconds: float, only: Sequence[str] = ()) -> TestRun:
    """The outcomes of a project's tests, or of those in some files."""
    report = tree / REPORT
    report.unlink(missing_ok=True)
    outcome = runner.run(tree, (*tool.command, *(only if tool.narrow else ())), seconds)
    if tool.name != "pytest":
        run = read_test_lines(tool.name, outcome.output)
        if not run.outcomes:
            run.outcomes["all"] = "passed" if outcome.ok else "failed"
        if not outcome.ok and not run.failed:
            return replace(run, broken=_ending(outcome))
        return run
    text = _read(report)
    run = read_junit(tool.name, text) if text else TestRun(broken=_ending(outcome))
    report.unlink(missing_ok=True)
    if outcome.exit_code not in (0, 1, 5) and not run.failed:
        return replace(run, broken=_ending(outcome))
    return run


def worse(rung: str, before: TestRun, after: TestRun, texts: Mapping[str, str | None]) -> list[Finding]:
    """Tests that passed and fail now, that fail and are new, that ran and do not any more; a run that broke."""
    found = []
    if after.broken and not before.broken:
        found.append(Finding(rung, after.broken))
    for name in sorted(after.failed - before.failed):
        failure = after.failures.get(name, Finding(rung, f"{name} fails"))
        code = nearest_code(texts.get(failure.path), failure.line)
        found.append(replace(failure, rung=rung, code=code))
    for name in sorted(before.passed - after.outcomes.keys()):
        if not after.broken:
            found.append(Finding(rung, f"{name} passed before and does not run any more"))
    for name in sorted(before.passed):
        if after.outcomes.get(name) == "skipped":
            found.append(Finding(rung, f"{name} passed before and is skipped now"))
    return found


def new_diagnostics(
    before: Sequence[Finding], after: Sequence[Finding], texts: Mapping[str, str | None]
) -> list[Finding]:
    """What a tool says now and did not say before, with the code."""
    return [
        replace(finding, code=nearest_code(texts.get(finding.path), finding.line))
        for finding in new_ones(before, after)
    ]


def _relative(tree: Path, finding: Finding) -> Finding:
    path = Path(finding.path)
    inside = path.is_absolute() and path.is_relative_to(tree)
    return replace(finding, path=path.relative_to(tree).as_posix()) if inside else finding


def _ending(outcome: Outcome) -> str:
    said = [line for line in outcome.output.strip().splitlines() if line.strip()]
    how = f"exit code {outcome.exit_code}" if outcome.ended_by == "exit" else f"ended by {outcome.ended_by}"
    return f"{how}: {said[-1].strip()[:200]}" if said else how


def _read(path: Path) -> str:
    """A report that a contained command wrote: a regular file of bounded size, or nothing."""
    if path.is_symlink() or not path.is_file() or path.stat().st_size > _MOST_REPORT:
        return ""
    return path.read_text("utf-8", "replace")


__all__ = ["Runner", "SandboxProblem", "SandboxRunner", "diagnose", "new_diagnostics", "run_tests", "worse"]
