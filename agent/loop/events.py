"""What a run tells while it goes on: one dataclass a kind of event. Prints nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar


@dataclass(frozen=True)
class Event:
    """Base of all."""

    kind: ClassVar[str] = "event"

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it; ``type`` names the kind."""
        return {"type": self.kind, **asdict(self)}


@dataclass(frozen=True)
class Started(Event):
    """The run begins, or goes on from a trajectory."""

    kind: ClassVar[str] = "started"
    task: str
    root: str
    trajectory: str
    resumed: bool
    tools: tuple[str, ...]


@dataclass(frozen=True)
class RequirementsFound(Event):
    """The checklist; ``by`` says whether a rule or the model wrote it."""

    kind: ClassVar[str] = "requirements"
    by: str
    requirements: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Planned(Event):
    """The plan that is followed."""

    kind: ClassVar[str] = "plan"
    by: str
    subtasks: tuple[Mapping[str, Any], ...]
    risks: tuple[str, ...]


@dataclass(frozen=True)
class SubtaskStarted(Event):
    """A subtask begins, with the files that it may change."""

    kind: ClassVar[str] = "subtask"
    id: str
    goal: str
    files: tuple[str, ...]


@dataclass(frozen=True)
class CandidateMade(Event):
    """One candidate edit, before it is checked. ``problem`` says why there is none."""

    kind: ClassVar[str] = "candidate"
    subtask: str
    number: int
    files: tuple[str, ...]
    lines: int
    same_as: int | None
    problem: str


@dataclass(frozen=True)
class Checked(Event):
    """What one rung says of a candidate (``subtask`` "final": of the whole change)."""

    kind: ClassVar[str] = "check"
    subtask: str
    candidate: int
    rung: str
    passed: bool
    findings: tuple[str, ...]
    skipped: str


@dataclass(frozen=True)
class SubtaskEnded(Event):
    """A subtask's edit was accepted, or none passed."""

    kind: ClassVar[str] = "subtask_done"
    id: str
    accepted: bool
    candidate: int | None
    why: str


@dataclass(frozen=True)
class Noted(Event):
    """Something that the report will hold: a deviation from the plan, an answer that was refused."""

    kind: ClassVar[str] = "note"
    text: str


@dataclass(frozen=True)
class Finished(Event):
    """The report, as JSON."""

    kind: ClassVar[str] = "report"
    report: Mapping[str, Any]


Listener = Callable[[Event], None]
