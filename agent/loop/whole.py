"""The whole change judged at the end: every rung once more against the user's tree, and every requirement."""

from __future__ import annotations

from dovetail.agent.checks.case import Case
from dovetail.agent.checks.commands.results import TestRun
from dovetail.agent.loop.ladder import Climb, command_climb, static_climb
from dovetail.agent.loop.state import State
from dovetail.agent.loop.trajectory import digest
from dovetail.agent.loop.validate import Ground, judge
from dovetail.agent.problems import SandboxProblem
from dovetail.agent.repo.testfiles import is_test


def judge_whole(run: State) -> Climb:
    """Climb the ladder with all accepted edits, and put each requirement's verdict into the report."""
    changes = run.workspace.changes()
    case = run.workspace.show({}, frozenset(changes), run.grants)
    climb = static_climb(case)
    base: TestRun | None = None
    new_tests: list[str] = []
    if changes and climb.passed:
        command_climb(climb, case, run.commands, run.workspace.tried({}))
        run.report.uncontained = climb.uncontained
        if climb.tests is not None:
            base = next(run.commands.base_tests(tool) for tool in run.commands.tools if tool.kind == "tests")
            new_tests = _new_tests(run, case, climb.tests, base)
    run.tell_climb("final", 0, climb)
    run.report.checks = [
        {
            "rung": verdict.rung,
            "passed": verdict.passed,
            "skipped": verdict.skipped,
            "findings": [str(finding) for finding in verdict.findings],
        }
        for verdict in climb.verdicts
    ]
    ground = Ground(case, climb, base, new_tests, run.workspace.original, climb.commands)
    run.report.requirements = [judge(requirement, ground) for requirement in run.requirements]
    return climb


def _new_tests(run: State, case: Case, after: TestRun, base: TestRun) -> list[str]:
    """New tests that fail where only the tests are changed, and pass with the whole change."""
    tests = {
        path: change.after
        for path, change in case.changes.items()
        if path in case.after.files and is_test(path, case.after.files[path].language)
    }
    fresh = after.passed - base.outcomes.keys()
    tool = next((tool for tool in run.commands.tools if tool.kind == "tests" and tool.narrow), None)
    if not tests or not fresh or tool is None:
        return []
    try:
        tree = run.workspace.tried(tests, alone=True)
        without = run.commands.tests(tool, tree, f"tests alone {digest(tests)}", sorted(tests))
    except SandboxProblem:
        return []
    if without.broken:
        return []
    return sorted(name for name in fresh if without.outcomes.get(name) != "passed")
