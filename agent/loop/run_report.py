"""What the report of every run holds and how it is kept, whatever the run was for. Judges nothing."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dovetail.agent.checks.case import Change
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
            "files": sorted(self.changes),
            "patch": self.patch,
            "patch_file": self.patch_file,
            "written": self.written,
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

    def keep(self, root: Path, *, write: bool) -> None:
        """Write the changes, or keep them as a patch beside the trajectory; and the report there."""
        path = Path(self.trajectory)
        if write:
            write_changes(root, self.changes)
            self.written = True
        elif self.patch:
            patch = path.with_suffix(".patch")
            save_text(patch, self.patch)
            self.patch_file = str(patch)
        save_text(path.with_suffix(".md"), self.to_markdown())
        save_text(path.with_suffix(".report.json"), json.dumps(self.to_dict(), indent=2))


def check_state(check: Mapping[str, Any]) -> str:
    """A verdict in a word or two."""
    return "passed" if check["passed"] else f"not run: {check['skipped']}" if check["skipped"] else "objects"


def bullets(title: str, lines: list[str]) -> str:
    """A section of Markdown; none without lines."""
    return "\n".join([f"## {title}\n", *(f"- {printable(line)}" for line in lines)]) if lines else ""
