"""Runs the agent's commands on a work tree: asks before something is destroyed, keeps the tree, can undo all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dovetail.agent.sandbox.config import SandboxConfig
from dovetail.agent.sandbox.guard import Finding, destructive
from dovetail.agent.sandbox.outcome import Outcome
from dovetail.agent.sandbox.sandbox import Sandbox
from dovetail.agent.sandbox.snapshots import Restored, Snapshot, Snapshots


@dataclass(frozen=True)
class Step:
    """One command. ``outcome`` is None where it needed consent and did not get it; then nothing was run."""

    command: str | Sequence[str]
    finding: Finding | None
    before: Snapshot | None = None
    after: Snapshot | None = None
    outcome: Outcome | None = None


def nobody_agrees(finding: Finding) -> bool:
    """The default: nothing destructive is run."""
    return False


class Workbench:
    """``consent`` is asked about every finding; it answers for the person whose work it is."""

    def __init__(
        self, config: SandboxConfig, snapshots: Snapshots, consent: Callable[[Finding], bool] = nobody_agrees
    ) -> None:
        self._config, self._consent = config, consent
        self._sandbox = Sandbox.choose(config)
        self.snapshots = snapshots
        self.steps: list[Step] = []

    @property
    def containment(self) -> str:
        """How commands are contained."""
        return self._sandbox.name

    def run(self, command: str | Sequence[str], *, folder: Path | None = None, **settings: Any) -> Step:
        """Run a command after a snapshot; ``settings`` are those of ``Sandbox.run``.

        Files that are too large to be kept, and the repositories of inner work trees, are read-only for the command.
        """
        finding = destructive(command, self._config.root / (folder or ""))
        if finding is not None and not self._consent(finding):
            return self._done(Step(command, finding))
        before = self.snapshots.take(_label("before", command))
        contained = self._contained(before)
        outcome = contained.run(command, folder=folder, **settings)
        after = self.snapshots.take(_label("after", command))
        return self._done(Step(command, finding, before, after, outcome))

    def undo(self, step: Step) -> Restored:
        """Take back what a command changed; what somebody else changed since stays."""
        if step.before is None:
            return Restored(())
        return self.snapshots.restore(step.before, step.after)

    def _contained(self, before: Snapshot) -> Sandbox:
        large = [path for path, reason in before.uncovered.items() if reason.startswith("is larger")]
        inner = [path for path in before.entries if path.endswith("/.git")]
        if not large and not inner:
            return self._sandbox
        return self._sandbox.protecting([*large, *inner])

    def _done(self, step: Step) -> Step:
        self.steps.append(step)
        return step


def _label(moment: str, command: str | Sequence[str]) -> str:
    return f"{moment}: {command if isinstance(command, str) else ' '.join(command)}"[:200]
