"""``dovetail agent --fix``: a failing command reproduced, explained, and mended in copies. Writes no file of the user's."""

from __future__ import annotations

from pathlib import Path

from dovetail.agent.checks.case import Grants
from dovetail.agent.checks.commands.run import Runner, SandboxRunner
from dovetail.agent.checks.commands.tools import find_tools
from dovetail.agent.client import DovetailClient
from dovetail.agent.debug.cause import explain, mended
from dovetail.agent.debug.diagnose import Diagnosis, diagnose
from dovetail.agent.debug.history import last_changes
from dovetail.agent.debug.judge import Judge, failing_tests
from dovetail.agent.debug.repair import Accepted, Repair
from dovetail.agent.debug.report import FixReport, Tests
from dovetail.agent.debug.settings import FixSettings
from dovetail.agent.loop import events
from dovetail.agent.loop.ladder import Commands
from dovetail.agent.loop.limits import Budget, LimitReached
from dovetail.agent.loop.model import ServedModel
from dovetail.agent.loop.patch import make_patch
from dovetail.agent.loop.trajectory import Trajectory
from dovetail.agent.loop.workspace import Workspace
from dovetail.agent.repo.index import RepoIndex


class Fixer:
    """Mends one failure.

    Args:
        settings: what is asked.
        client: of the server that holds the model; None: explain only.
        path: where the record of the run is kept.
        resume: go on with the run of that record: commands are run again, the model is asked only what it was not.
        runner: runs commands contained; by default the sandbox.
        listener: is told each event.
    """

    def __init__(
        self,
        settings: FixSettings,
        client: DovetailClient | None,
        path: Path,
        *,
        resume: bool = False,
        runner: Runner | None = None,
        listener: events.Listener = lambda event: None,
    ) -> None:
        self._settings, self._client, self._path, self._resume = settings, client, path, resume
        self._runner = runner or SandboxRunner(settings.root)
        self._listener = listener

    def run(self) -> FixReport:
        """All of it; the report comes whatever happens on the way."""
        settings = self._settings
        report = FixReport(settings.command, trajectory=str(self._path))
        with Workspace.open(settings.root) as workspace:
            header = {"task": settings.command, "settings": settings.to_header(), "tree": workspace.tree}
            trajectory = Trajectory.begin(self._path, header, resume=self._resume)
            budget = Budget(settings.limits)
            try:
                self._go(workspace, trajectory, budget, report)
            except LimitReached as problem:
                report.outcome = "limit reached"
                report.notes.append(str(problem))
            except KeyboardInterrupt:
                report.outcome = "interrupted"
            finally:
                report.containment = self._runner.containment
                report.steps, report.tokens, report.seconds = budget.steps, budget.tokens, budget.seconds
                trajectory.append({"kind": "event", "event": events.Finished(report.to_dict()).to_dict()})
                trajectory.close()
        return report

    def _go(self, workspace: Workspace, trajectory: Trajectory, budget: Budget, report: FixReport) -> None:
        settings = self._settings
        tools = find_tools(workspace.root, workspace.before.files, settings.checks)
        commands = Commands(self._runner, tools, workspace.base, trajectory, budget, settings.check_seconds)
        self._say(f"reproducing: {settings.command}")
        diagnosis = diagnose(settings, workspace, self._runner, commands.tools, budget, report)
        told = report.reproduction
        if told is None or told.kind != "fails":
            return
        self._say(f"it fails in {told.failed} of {told.runs} runs: {told.failure.headline if told.failure else ''}")
        for each in report.suspects[:3]:
            self._say(f"suspicious: {each}")
        if settings.explain_only or self._client is None:
            report.outcome = "explained"
            return
        named = (*diagnosis.failing, *(told.failure.tests if told.failure else ()))
        judge = Judge(
            workspace,
            commands,
            self._runner,
            budget,
            diagnosis.command,
            repeats=settings.repeats,
            seconds=settings.check_seconds,
            grants=Grants(settings.allow, settings.allow_api),
            failing=failing_tests(commands, named),
        )
        model = ServedModel(self._client, trajectory, budget, settings.model)
        repair = Repair(settings, workspace, model, judge, report, self._listener)
        accepted = repair.find(diagnosis)
        if accepted is not None:
            self._take(workspace, commands, accepted, report)
            self._conclude(workspace.before, repair, diagnosis, accepted, report)

    def _take(self, workspace: Workspace, commands: Commands, accepted: Accepted, report: FixReport) -> None:
        climb = accepted.judgement.climb
        report.outcome = "fixed"
        report.dropped = accepted.dropped
        report.changes = workspace.changes(accepted.edit)
        report.patch = make_patch(report.changes)
        report.look_for_uncommitted(workspace.root)
        report.checks = [{"rung": each.rung, "passed": each.passed, "skipped": each.skipped} for each in climb.verdicts]
        if climb.tests is not None:
            tool = next(tool for tool in commands.tools if tool.kind == "tests")
            report.tests = Tests(commands.base_tests(tool).outcomes, climb.tests.outcomes)

    def _conclude(
        self, index: RepoIndex, repair: Repair, diagnosis: Diagnosis, accepted: Accepted, report: FixReport
    ) -> None:
        """The cause as the accepted change shows it, and what nothing has shown."""
        settings = self._settings
        places = mended(index, report.changes, report.suspects)
        functions = list({(each.path, each.name): each for each, _, _ in places}.values())
        first = report.suspects[0] if report.suspects else None
        report.cause = (
            f"{explain(places, first, diagnosis.observed.calls)} Without any one of the changes a check fails; with them the "
            f"command passes ({settings.repeats} of {settings.repeats} runs)."
        )
        report.touched = last_changes(settings.root, functions) or report.touched
        report.not_verified += [f"{check['rung']}: {check['skipped']}" for check in report.checks if check["skipped"]]
        if not report.tests.after:
            report.not_verified.append("No tests of the project were run: the failing command alone shows the repair.")
        for value in repair.special_cases(diagnosis, accepted.edit):
            report.not_verified.append(
                f"The patch compares with {value}, which the failing test gives: it may fit that test alone."
            )
        report.not_verified.append("Behaviour that no test of the project asks for.")
        report.model_words = repair.explain(diagnosis, report.patch)

    def _say(self, text: str) -> None:
        self._listener(events.Noted(text))
