"""The report of a run, as JSON and as Markdown. Judges nothing: it says what was judged, and by what."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from dovetail.agent.loop.plan import Plan
from dovetail.agent.loop.run_report import RunReport, bullets, check_state, warned
from dovetail.agent.loop.validate import Judged
from dovetail.agent.repo.text import printable

Outcome = Literal["done", "unverified", "partly done", "not done", "planned", "limit reached", "interrupted"]


@dataclass
class SubtaskReport:
    """One subtask: whether an edit was accepted, which one, why not.

    ``lines`` that it changed; ``missed``: the names that the step speaks of, if the edit touches none of them.
    """

    id: str
    goal: str
    files: list[str]
    accepted: bool = False
    candidate: int | None = None
    candidates: int = 0
    lines: int = 0
    missed: tuple[str, ...] = ()
    why: str = ""


@dataclass
class Report(RunReport):
    """All that a run has to say."""

    task: str
    outcome: Outcome = "not done"
    planned_by: str = ""
    requirements: list[Judged] = field(default_factory=list)
    subtasks: list[SubtaskReport] = field(default_factory=list)
    risks: list[str] = field(default_factory=list)

    @property
    def may_be_written(self) -> bool:
        """Whether no check objects to the whole change."""
        return self.outcome in ("done", "unverified", "partly done") and bool(self.changes)

    @property
    def is_complete(self) -> bool:
        """Whether every step of the plan was done, no requirement is known to fail, and the checks could be run."""
        return self.outcome in ("done", "unverified") and not self.uncontained

    def take_plan(self, plan: Plan) -> None:
        """Note the plan's steps and risks."""
        self.planned_by = plan.by
        self.risks = list(plan.risks)
        self.subtasks = [
            SubtaskReport(each.id, each.instruction, [*each.files, *each.new_files]) for each in plan.subtasks
        ]

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "task": self.task,
            "outcome": self.outcome,
            "planned_by": self.planned_by,
            "requirements": [judged.to_dict() for judged in self.requirements],
            "not_verified": [judged.requirement.id for judged in self.requirements if judged.status == "unchecked"],
            "subtasks": [vars(each) for each in self.subtasks],
            "checks": self.checks,
            "notes": self.notes,
            "risks": self.risks,
            **self.ending(),
        }

    def to_markdown(self) -> str:
        """As a person reads it."""
        parts = [f"# {self._heading()}: {_safe(self.task)}", warned(self), self._requirements(), self._steps()]
        parts += [self._checks(), bullets("Notes", self.notes), bullets("Risks", self.risks), self._files()]
        return "\n\n".join(part for part in parts if part) + "\n"

    def _heading(self) -> str:
        said = self.outcome.capitalize()
        if not self.may_be_written:
            return said
        if self.outcome == "unverified" or self.uncontained:
            said = "Changed, not verified"
        return said if self.written else f"{said}; in copies only, nothing is written"

    def _requirements(self) -> str:
        rows = [f"| {_cell(each.requirement.id)} | {_cell(each.requirement.text)} | {each.status} | {_cell(each.shown_by)} |"
                for each in self.requirements]  # fmt: skip
        proposed = any(each.requirement.by == "model" and each.status == "done" for each in self.requirements)
        said = "\n\nThe checks of R1 and on were proposed by the model and run by code." if proposed else ""
        return "\n".join(["## Requirements\n\n| | what | status | shown by |\n|---|---|---|---|", *rows]) + said

    def _steps(self) -> str:
        lines = [f"{_tick(each)} {each.id}: {_safe(each.goal)}{_safe(_became(each))}" for each in self.subtasks]
        by = {"rule": "Planned by rule.", "model": "Planned by the model."}.get(self.planned_by, "")
        return bullets("Steps", lines) + (f"\n\n{by}" if lines and by else "")

    def _checks(self) -> str:
        lines = []
        for check in self.checks:
            lines += [
                f"{_safe(check['rung'])}: {_safe(check_state(check))}",
                *(f"  {_safe(each)}" for each in check["findings"]),
            ]
        said = f"\n\nCommands ran contained by {self.containment}." if self.containment else ""
        return bullets("Checks of the whole change", lines) + (said if lines else "")

    def _files(self) -> str:
        lines = [f"- {_safe(path)}" for path in sorted(self.changes)]
        if not lines:
            return "## Files\n\nNothing changed."
        back = [f"\nTo take it back: `{_safe(self.undo_command)}`"] if self.can_be_taken_back else []
        return "\n".join([f"## Files ({_safe(self.where)})\n", *lines, *back])


def _tick(step: SubtaskReport) -> str:
    """Done, an edit that may be about something else, or nothing."""
    return "[ ]" if not step.accepted else "[?]" if step.missed else "[x]"


def _became(step: SubtaskReport) -> str:
    """What became of a step."""
    if not step.accepted:
        return f": {step.why}" if step.why else ""
    said = f" (candidate {step.candidate} of {step.candidates}, {step.lines} changed lines)"
    if step.missed:
        said += f": this edit touches none of what the step names ({', '.join(step.missed)})"
    return said


def _safe(text: str) -> str:
    return printable(text)


def _cell(text: str) -> str:
    return printable(text).replace("|", "\\|")
