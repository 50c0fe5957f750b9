"""One run: requirements, plan, a subtask after the other, the whole change judged, the report. Writes no user's file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from dovetail.agent.checks.case import Grants
from dovetail.agent.checks.commands.run import Runner, SandboxRunner
from dovetail.agent.checks.commands.tools import find_tools
from dovetail.agent.checks.policy import TEST_SETUP
from dovetail.agent.client import DovetailClient
from dovetail.agent.loop import events
from dovetail.agent.loop.by_rule import plan_by_rule
from dovetail.agent.loop.follow import follow
from dovetail.agent.loop.ladder import Commands
from dovetail.agent.loop.limits import Budget, LimitReached
from dovetail.agent.loop.localise import candidates
from dovetail.agent.loop.model import ServedModel
from dovetail.agent.loop.patch import make_patch
from dovetail.agent.loop.plan import Plan, make_plan
from dovetail.agent.loop.report import Report
from dovetail.agent.loop.requirements import INVARIANTS, Requirement, find_requirements, invariants
from dovetail.agent.loop.settings import Settings
from dovetail.agent.loop.state import State
from dovetail.agent.loop.trajectory import Trajectory
from dovetail.agent.loop.validate import Judged, is_bug
from dovetail.agent.loop.whole import judge_whole
from dovetail.agent.loop.workspace import Workspace
from dovetail.agent.problems import FileProblem
from dovetail.agent.repo.globs import matches


class Agent:
    """Runs one task.

    Args:
        settings: what is asked.
        client: of the server that holds the model.
        path: where the trajectory is kept.
        resume: go on with the trajectory there.
        runner: runs commands contained; by default the sandbox.
        listener: is told each event.
    """

    def __init__(
        self,
        settings: Settings,
        client: DovetailClient,
        path: Path,
        *,
        resume: bool = False,
        runner: Runner | None = None,
        listener: events.Listener = lambda event: None,
    ) -> None:
        self._settings, self._client, self._path, self._resume = settings, client, path, resume
        self._runner = runner or SandboxRunner(settings.root)
        self._listener = listener

    def run(self) -> Report:
        """Do the task in copies of the tree, and report; what was accepted is in the report's changes."""
        with Workspace.open(self._settings.root) as workspace:
            trajectory = self._trajectory(workspace)
            try:
                state = self._state(workspace, trajectory)
                self._go(state)
                return state.report
            finally:
                trajectory.close()

    def _trajectory(self, workspace: Workspace) -> Trajectory:
        header = {"task": self._settings.task, "settings": self._settings.to_header(), "tree": workspace.tree}
        return Trajectory.begin(self._path, header, resume=self._resume)

    def _state(self, workspace: Workspace, trajectory: Trajectory) -> State:
        settings = self._settings
        budget = Budget(settings.limits)
        tools = find_tools(workspace.root, workspace.before.files, settings.checks)
        return State(
            settings,
            Report(settings.task, trajectory=str(self._path)),
            workspace,
            trajectory,
            budget,
            ServedModel(self._client, trajectory, budget, settings.model),
            Commands(self._runner, tools, workspace.base, trajectory, budget, settings.check_seconds),
            self._listener,
            Grants(_allowed_paths(settings, workspace), settings.allow_api, settings.allow_tests),
        )

    def _go(self, state: State) -> None:
        """All of it; ends with the report whatever happens on the way."""
        settings, report = state.settings, state.report
        tools = tuple(tool.name for tool in (*state.commands.tools, *state.commands.missing))
        state.tell(events.Started(settings.task, str(settings.root), str(self._path), self._resume, tools))
        try:
            plan = _plan(state)
            if settings.plan_only:
                report.outcome = "planned"
            else:
                _do(state, plan)
        except LimitReached as problem:
            report.outcome = "limit reached"
            state.note(str(problem))
        except KeyboardInterrupt:
            report.outcome = "interrupted"
            state.note("Interrupted by the user.")
        if not report.requirements:
            why = "only planned" if report.outcome == "planned" else "the run ended before it was judged"
            report.requirements = [Judged(each, "unchecked", why) for each in state.requirements]
        report.changes = state.workspace.changes()
        report.patch = make_patch(report.changes)
        report.look_for_uncommitted(settings.root)
        report.containment = self._runner.containment
        report.steps, report.tokens, report.seconds = state.budget.steps, state.budget.tokens, state.budget.seconds


def _plan(state: State) -> Plan:
    settings, index = state.settings, state.workspace.before
    ruled, why = plan_by_rule(settings.task, index)
    if why:
        state.note(why)
    if ruled is not None:
        asked, plan = ruled.requirements, ruled.plan
        state.grants = Grants(state.grants.paths, (*state.grants.api, *plan.api), state.grants.tests)
    else:
        context = index.map(settings.map_tokens, settings.task.split())
        asked, note = find_requirements(state.model, settings.task, context)
        if note:
            state.note(note)
        found = candidates(index, settings.task)
        if not found:
            raise FileProblem(f"{settings.root} holds no file that could be edited.")
        plan, notes = make_plan(state.model, settings.task, asked, context, found, index.files)
        for each in notes:
            state.note(each)
    _take_requirements(state, asked)
    state.report.take_plan(plan)
    state.tell(events.Planned(plan.by, tuple(step.to_dict() for step in plan.subtasks), plan.risks))
    return plan


def _take_requirements(state: State, asked: Sequence[Requirement]) -> None:
    settings = state.settings
    bug = [Requirement("B1", "What failed before works now.", "bug fixed", by="rule")] if is_bug(settings.task) else []
    own = [
        Requirement(f"C{number}", f"`{command}` passes.", "command", command, by="user")
        for number, command in enumerate(settings.checks, 1)
    ]
    kinds = [tool.kind for tool in (*state.commands.tools, *state.commands.missing)]
    state.requirements = [*asked, *bug, *own, *invariants(kinds)]
    state.tell(events.RequirementsFound(asked[0].by, tuple(each.to_dict() for each in state.requirements)))


def _do(state: State, plan: Plan) -> None:
    report = state.report
    follow(state, plan)
    climb = judge_whole(state)
    asked = [each for each in report.requirements if each.requirement.check not in INVARIANTS]
    if not state.workspace.changes() or not climb.passed:
        report.outcome = "not done"
    elif not all(told.accepted for told in report.subtasks) or any(
        each.status == "failed" for each in report.requirements
    ):
        report.outcome = "partly done"
    else:
        report.outcome = "done" if all(each.status in ("done", "holds") for each in asked) else "unverified"


def _allowed_paths(settings: Settings, workspace: Workspace) -> tuple[str, ...]:
    """Protected files that the user names: by option, or, where they only set up the project, in the task."""
    said = set(re.findall(r"[\w./\-]+", settings.task))
    named = [path for path in workspace.before.files if path in said and matches(path.lower(), TEST_SETUP)]
    return (*settings.allow, *named)
