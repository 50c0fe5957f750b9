"""What is known of a failure and of its repair, as JSON and as Markdown. Finds out nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from dovetail.agent.debug.history import Touched
from dovetail.agent.debug.reproduce import Reproduction
from dovetail.agent.debug.suspects import Function
from dovetail.agent.diff import visible
from dovetail.agent.loop.run_report import RunReport, bullets, check_state, warned
from dovetail.agent.repo.text import printable

Outcome = Literal[
    "fixed", "not fixed", "explained", "does not fail", "flaky", "cannot be run", "limit reached", "interrupted"
]
_SAID: Mapping[str, str] = {
    "fixed": "Fixed in a copy; nothing is written",
    "not fixed": "Not fixed",
    "explained": "Explained; nothing was changed",
    "does not fail": "The command does not fail here",
    "flaky": "The command fails only sometimes",
    "cannot be run": "The command cannot be run here",
    "limit reached": "A limit was reached",
    "interrupted": "Interrupted",
}


@dataclass
class Attempt:
    """One candidate edit, and why it was refused; an empty reason: it was accepted."""

    number: int
    files: list[str]
    refused: str


@dataclass
class Tests:
    """The project's tests around the change."""

    before: dict[str, str] = field(default_factory=dict)
    after: dict[str, str] = field(default_factory=dict)

    @property
    def mended(self) -> list[str]:
        """Those that did not pass before and do now."""
        return sorted(name for name, how in self.after.items() if how == "passed" and self.before.get(name) != how)

    def to_dict(self) -> dict[str, Any]:
        """Both lists, and what differs."""
        return {"before": self.before, "after": self.after, "mended": self.mended}


@dataclass
class FixReport(RunReport):
    """All that a run has to say."""

    command: str
    outcome: Outcome = "not fixed"
    reproduction: Reproduction | None = None
    place: str = ""
    """Where the failure shows, with the code there."""
    seen: list[str] = field(default_factory=list)
    """Values that a traceback or the collector had."""
    suspects: list[Function] = field(default_factory=list)
    touched: list[Touched] = field(default_factory=list)
    cause: str = ""
    """Found by code."""
    model_words: str = ""
    """The model's explanation; nothing checks it."""
    attempts: list[Attempt] = field(default_factory=list)
    dropped: int = 0
    """Changes of the accepted edit that were not needed."""
    tests: Tests = field(default_factory=Tests)
    not_verified: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        failure = self.reproduction.failure if self.reproduction is not None else None
        return {
            "command": self.command,
            "outcome": self.outcome,
            "reproduction": self.reproduction.to_dict() if self.reproduction is not None else None,
            "failure": asdict(failure) if failure is not None else None,
            "place": self.place,
            "seen": self.seen,
            "suspects": [each.to_dict() for each in self.suspects],
            "last_changes": [asdict(each) for each in self.touched],
            "cause": self.cause,
            "model_words": self.model_words,
            "attempts": [asdict(each) for each in self.attempts],
            "changes_left_out": self.dropped,
            "checks": self.checks,
            "tests": self.tests.to_dict(),
            "not_verified": self.not_verified,
            "notes": self.notes,
            **self.ending(),
        }

    def to_markdown(self) -> str:
        """As a person reads it."""
        said = "Fixed" if self.written else _SAID[self.outcome]
        parts = [f"# {said}: `{printable(self.command)}`", warned(self), self._failure(), self._cause()]
        parts += [bullets("Suspicious functions", [str(each) for each in self.suspects[:5]])]
        parts += [bullets("Attempts", [self._attempt(each) for each in self.attempts]), self._patch()]
        parts += [bullets("Checks", [_check(each) for each in self.checks]), self._tests()]
        parts += [bullets("Not verified", self.not_verified), bullets("Notes", self.notes)]
        return "\n\n".join(part for part in parts if part) + "\n"

    def _failure(self) -> str:
        told = self.reproduction
        if told is None:
            return ""
        lines = [f"It failed in {told.failed} of {told.runs} runs" + ("" if told.same else ", not always in one way")]
        if told.why:
            lines = [told.why]
        if told.failure is not None:
            lines += [f"{told.failure.mode}: {told.failure.headline}"]
            lines += [f"failing test: {name}" for name in told.failure.tests[:10]]
            lines += [f"seen: {pair.seen}; expected: {pair.expected}" for pair in told.failure.values[:3]]
        return bullets("The failure", [*lines, *([f"at {self.place}"] if self.place else []), *self.seen[:12]])

    def _cause(self) -> str:
        lines = [self.cause, *map(str, self.touched[:2])] if self.cause else []
        if self.model_words:
            lines.append(f"In the model's words, which nothing checks: {self.model_words}")
        return bullets("Root cause", lines)

    @staticmethod
    def _attempt(attempt: Attempt) -> str:
        said = f"refused: {attempt.refused}" if attempt.refused else "accepted"
        return f"{attempt.number} ({', '.join(attempt.files) or 'no file'}): {said}"

    def _patch(self) -> str:
        if not self.patch:
            return ""
        some = (
            "1 change of the edit was not needed and is"
            if self.dropped == 1
            else f"{self.dropped} changes of the edit were not needed and are"
        )
        said = f"\n\n{some} left out." if self.dropped else ""
        said += f"\n\nTo take it back: `{printable(self.undo_command)}`" if self.can_be_taken_back else ""
        return f"## Patch ({self.where})\n\nNothing but this changed:\n\n```diff\n{visible(self.patch)}```{said}"

    def _tests(self) -> str:
        if not self.tests.after:
            return ""
        count = [sum(how == "passed" for how in run.values()) for run in (self.tests.before, self.tests.after)]
        lines = [f"passed before: {count[0]} of {len(self.tests.before)}; now: {count[1]} of {len(self.tests.after)}"]
        return bullets("Tests", [*lines, *(f"passes now: {name}" for name in self.tests.mended[:20])])


def _check(check: Mapping[str, Any]) -> str:
    return f"{check['rung']}: {check_state(check)}"
