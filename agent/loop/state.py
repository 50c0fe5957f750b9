"""What the parts of a run share: the copies, the model, the commands, the report, and whom to tell. Decides nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from dovetail.agent.checks.case import Grants
from dovetail.agent.checks.finding import Finding
from dovetail.agent.loop import events
from dovetail.agent.loop.ladder import Climb, Commands
from dovetail.agent.loop.limits import Budget
from dovetail.agent.loop.model import Model
from dovetail.agent.loop.report import Report
from dovetail.agent.loop.requirements import Requirement
from dovetail.agent.loop.settings import Settings
from dovetail.agent.loop.trajectory import Trajectory
from dovetail.agent.loop.workspace import Workspace


@dataclass
class State:
    """One run."""

    settings: Settings
    report: Report
    workspace: Workspace
    trajectory: Trajectory
    budget: Budget
    model: Model
    commands: Commands
    listener: events.Listener
    grants: Grants = field(default_factory=Grants)
    requirements: Sequence[Requirement] = ()
    open: Sequence[Finding] = ()
    """What objects to the accepted edits as they are, for later subtasks to mend."""

    def tell(self, event: events.Event) -> None:
        """To the trajectory first, then to the listener."""
        self.trajectory.append({"kind": "event", "event": event.to_dict()})
        self.listener(event)

    def note(self, text: str) -> None:
        """Something that the report will hold."""
        self.report.notes.append(text)
        self.tell(events.Noted(text))

    def tell_climb(self, subtask: str, number: int, climb: Climb) -> None:
        """One event a verdict."""
        for verdict in climb.verdicts:
            said = tuple(map(str, verdict.findings))
            self.tell(events.Checked(subtask, number, verdict.rung, verdict.passed, said[:20], verdict.skipped))
