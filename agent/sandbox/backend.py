"""The seam between running a command and the ways of containing it. Contains nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from dovetail.agent.sandbox.launch import Order
from dovetail.agent.sandbox.outcome import Limits
from dovetail.agent.sandbox.places import Places


@dataclass(frozen=True)
class Run:
    """One command that is to be contained. ``private``: a folder of this run alone, outside the work tree."""

    command: Sequence[str]
    places: Places
    folder: Path
    limits: Limits
    network: bool
    private: Path
    outside: Mapping[str, str]
    extra: Mapping[str, str]


class Backend(Protocol):
    """A way of containing commands."""

    @property
    def name(self) -> str:
        """As outcomes and settings call it."""

    @property
    def gaps(self) -> Sequence[str]:
        """What it does not hold, or what does not work under it, in sentences."""

    def order(self, run: Run) -> Order:
        """What the launcher has to do."""
