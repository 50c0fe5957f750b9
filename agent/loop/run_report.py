"""What the report of every run holds and how it is kept, whatever the run was for. Judges nothing."""

from __future__ import annotations

import json
import shlex
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dovetail.agent.checks.case import Change
from dovetail.agent.loop import undo
from dovetail.agent.loop.uncommitted import uncommitted
from dovetail.agent.loop.writing import save_text, write_changes
from dovetail.agent.repo.text import printable


@dataclass(kw_only=True)
class RunReport(ABC):
    """The part that says what was changed, at what cost, and where the record lies."""

    checks: list[dict[str, Any]] = field(default_factory=list)
    """The verdicts on the whole change."""
    notes: list[str] = field(default_factory=list)
    changes: Mapping[str, Change] = field(default_factory=dict)
    patch: str = ""
    patch_file: str = ""
    written: bool = False
    uncommitted: list[str] = field(default_factory=list)
    """Files of the change that hold work of the user's which git does not have."""
    temporary: bool = False
    """Whether tree and record are thrown away afterwards, as those of the demonstration: then nothing is said of a way back."""
    uncontained: str = ""
    """Why no command was run: nothing here can contain one. Empty where they ran, or none was needed."""
    containment: str = ""
    steps: int = 0
    tokens: int = 0
    seconds: float = 0.0
    trajectory: str = ""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""

    @abstractmethod
    def to_markdown(self) -> str:
        """As a person reads it."""

    def ending(self) -> dict[str, Any]:
        """The common part, as JSON has it."""
        return {
            "warnings": self.warnings,
            "uncommitted": self.uncommitted,
            "files": sorted(self.changes),
            "patch": self.patch,
            "patch_file": self.patch_file,
            "written": self.written,
            "undo": self.undo_command if self.can_be_taken_back else "",
            "containment": self.containment,
            "steps": self.steps,
            "tokens": self.tokens,
            "seconds": round(self.seconds, 1),
            "trajectory": self.trajectory,
        }

    @property
    def where(self) -> str:
        """What became of the change."""
        if self.written:
            return "written"
        return f"not written; the patch is {self.patch_file}" if self.patch_file else "not written"

    @property
    def undo_command(self) -> str:
        """What brings the files back that were written."""
        return f"dovetail agent --undo {shlex.quote(self.trajectory)}"

    @property
    def can_be_taken_back(self) -> bool:
        """Whether there is something to take back, and will be."""
        return self.written and not self.temporary

    @property
    def warnings(self) -> list[str]:
        """What a reader has to know before anything else."""
        said = []
        if self.uncontained and self.changes:
            said.append(f"Unverified: none of the project's checks was run. {self.uncontained}")
        if self.uncommitted and not self.temporary:
            back = f"It is kept: `{self.undo_command}` brings it back."
            now = back if self.written else "It is untouched; if the change is written, it is kept first."
            files = _few(self.uncommitted)
            said.append(f"The change goes into files that hold work of yours that is not committed: {files}. {now}")
        return said

    def look_for_uncommitted(self, root: Path) -> None:
        """Find out which files of the change git does not have as they are."""
        self.uncommitted = uncommitted(root, [path for path, each in self.changes.items() if each.before is not None])

    def keep(self, root: Path, *, write: bool) -> None:
        """Write the changes, or keep them as a patch beside the trajectory; and the report there.

        What is written over is kept beside the trajectory first.
        """
        path = Path(self.trajectory)
        if write:
            undo.keep(path, root, self.changes)
            write_changes(root, self.changes)
            self.written = True
        elif self.patch:
            patch = path.with_suffix(".patch")
            save_text(patch, self.patch)
            self.patch_file = str(patch)
        save_text(path.with_suffix(".md"), self.to_markdown())
        save_text(path.with_suffix(".report.json"), json.dumps(self.to_dict(), indent=2))


def warned(report: RunReport) -> str:
    """The warnings as the first lines of a report; empty without any."""
    return "\n".join(f"> **{printable(each)}**" for each in report.warnings)


def _few(paths: list[str]) -> str:
    return ", ".join(paths[:8]) + (f" and {len(paths) - 8} more" if len(paths) > 8 else "")


def check_state(check: Mapping[str, Any]) -> str:
    """A verdict in a word or two."""
    return "passed" if check["passed"] else f"not run: {check['skipped']}" if check["skipped"] else "objects"


def bullets(title: str, lines: list[str]) -> str:
    """A section of Markdown; none without lines."""
    return "\n".join([f"## {title}\n", *(f"- {printable(line)}" for line in lines)]) if lines else ""
