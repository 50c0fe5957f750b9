"""The end of a run: what became of each requirement, and what shows it. Nothing is done that no check shows."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from dovetail.agent.checks.case import Case
from dovetail.agent.checks.commands.results import TestRun
from dovetail.agent.loop.ladder import Climb
from dovetail.agent.loop.predicates import PREDICATES, describe, holds
from dovetail.agent.loop.requirements import INVARIANTS, Requirement

Status = Literal["done", "holds", "failed", "unchecked"]

_BUG = re.compile(
    r"\b(?:fix(?:es|ed)?|bug|fails?|failing|crash(?:es)?|wrong|broken|incorrect|regression)\b", re.IGNORECASE
)


@dataclass(frozen=True)
class Judged:
    """A requirement and what became of it.

    ``done``: a check that was false before is true now. ``holds``: what had to stay has stayed. ``failed``: a check says
    no. ``unchecked``: nothing shows it.
    """

    requirement: Requirement
    status: Status
    shown_by: str

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {**asdict(self.requirement), "status": self.status, "shown_by": self.shown_by}


def is_bug(task: str) -> bool:
    """Whether a task speaks of something that does not work."""
    return _BUG.search(task) is not None


@dataclass(frozen=True)
class Ground:
    """What requirements are judged on. ``new_tests`` are tests that fail without the change and pass with it."""

    case: Case
    climb: Climb
    base: TestRun | None
    new_tests: Sequence[str]
    original: Callable[[str], str | None]
    commands: dict[str, tuple[bool, bool]]
    """The user's commands: whether each passed before, and passes now."""


def judge(requirement: Requirement, ground: Ground) -> Judged:
    """What became of one requirement."""
    if requirement.check in PREDICATES:
        return _predicate(requirement, ground)
    if requirement.check in INVARIANTS:
        return _invariant(requirement, ground.climb)
    if requirement.check == "bug fixed":
        return _bug(requirement, ground)
    if requirement.check == "command":
        return _command(requirement, ground)
    return Judged(requirement, "unchecked", "no check shows it")


def _predicate(requirement: Requirement, ground: Ground) -> Judged:
    def present(path: str) -> str | None:
        change = ground.case.changes.get(path)
        return change.after if change is not None else ground.original(path)

    what = describe(requirement)
    before = holds(requirement, ground.case.before, ground.original)
    after = holds(requirement, ground.case.after, present)
    if not after:
        return Judged(requirement, "failed", f"it is not so that {what}")
    if before:
        return Judged(requirement, "unchecked", f"it was so before the change already that {what}")
    return Judged(requirement, "done", f"now {what}; before the change it was not so")


def _invariant(requirement: Requirement, climb: Climb) -> Judged:
    verdicts = [verdict for verdict in climb.verdicts if verdict.covers == requirement.check]
    broken = [finding for verdict in verdicts for finding in verdict.findings]
    if broken:
        return Judged(requirement, "failed", str(broken[0]))
    asked = [verdict.rung for verdict in verdicts if not verdict.skipped]
    skipped = [f"{verdict.rung}: {verdict.skipped}" for verdict in verdicts if verdict.skipped]
    if requirement.check == "tests kept" and "all tests" not in asked:
        return Judged(requirement, "unchecked", "; ".join(skipped) or "no test was run")
    if skipped or not asked:
        return Judged(requirement, "unchecked", "; ".join(skipped) or "no check was reached")
    return Judged(requirement, "holds", ", ".join(asked))


def _bug(requirement: Requirement, ground: Ground) -> Judged:
    after = ground.climb.tests
    if after is None or ground.base is None:
        return Judged(requirement, "unchecked", "no tests were run")
    mended = sorted(ground.base.failed & after.passed)
    if mended:
        return Judged(requirement, "done", f"failed before and passes now: {_few(mended)}")
    shown = sorted(set(ground.new_tests))
    if shown:
        return Judged(requirement, "done", f"new, fails without the change and passes with it: {_few(shown)}")
    return Judged(requirement, "unchecked", "no test failed before and passes now")


def _command(requirement: Requirement, ground: Ground) -> Judged:
    if requirement.target not in ground.commands:
        return Judged(requirement, "unchecked", "the command was not run")
    before, after = ground.commands[requirement.target]
    if not after:
        said = ", as it did before the change" if not before else ""
        return Judged(requirement, "failed", f"`{requirement.target}` fails{said}")
    if before:
        return Judged(requirement, "holds", f"`{requirement.target}` passes, as it did before the change")
    return Judged(requirement, "done", f"`{requirement.target}` failed before the change and passes now")


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
