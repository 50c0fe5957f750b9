"""What rungs judge: an edit as the code before and after it, and what the user allowed. Judges nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from dovetail.agent.checks.finding import Finding
from dovetail.agent.repo.index import RepoIndex


class Change(NamedTuple):
    """One file's text before and after; None: the file is not there."""

    before: str | None
    after: str | None


@dataclass(frozen=True)
class Grants:
    """What an edit may do beyond the default, because the user asked for it; never because a model did."""

    paths: tuple[str, ...] = ()
    """Protected files that may change."""
    api: tuple[str, ...] = ()
    """Names that may leave the public API or change in it."""
    tests: bool = False
    """Tests may go."""


@dataclass(frozen=True)
class Case:
    """An edit to judge. ``allowed`` holds the paths that the plan named; both indexes are up to date."""

    before: RepoIndex
    after: RepoIndex
    changes: Mapping[str, Change]
    allowed: frozenset[str]
    grants: Grants = field(default_factory=Grants)


class Rung(Protocol):
    """One check of the ladder that needs no command."""

    @property
    def name(self) -> str:
        """As reports call it."""

    def findings(self, case: Case) -> Sequence[Finding]:
        """What is new against the code as it was."""
