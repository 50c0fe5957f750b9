"""A task: a repository, what is asked, what a right answer changes, what wrong ones change, and hidden tests. Judges nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from shop import git

Kind = Literal["bug", "rename", "signature", "feature", "trap"]
Texts = Mapping[str, str]


@dataclass(frozen=True)
class Task:
    """One task. ``ask``: the task in words, or with ``fix`` a failing command.

    ``hidden`` are tests that the agent never sees: they pass on the right answer, and fail on the repository as it is
    (of a trap: pass on both, for what is asked there must not be done).
    """

    name: str
    kind: Kind
    ask: str
    files: Texts
    right: Texts
    wrong: tuple[Texts, ...]
    hidden: Texts
    fix: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
    may_change: tuple[str, ...] = ()
    """Beside what the right answer changes."""

    @property
    def allowed(self) -> frozenset[str]:
        """The files that an answer may change."""
        return frozenset((*self.right, *self.may_change))

    def make(self, root: Path) -> None:
        """Write the repository and commit it, but for the user's notes."""
        write(root, self.files)
        git(root, "init", "-q")
        git(root, "add", "--", *(path for path in self.files if path != "notes.txt"))
        git(root, "commit", "-q", "-m", "as it is")


def write(root: Path, files: Texts) -> None:
    """Write the files, with the folders they need."""
    for path, text in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(text.encode())
