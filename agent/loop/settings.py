"""What a run is asked for, and what the user allows. Knows nothing of how it is done."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dovetail.agent.loop.limits import RunLimits
from dovetail.agent.problems import FileProblem


@dataclass(frozen=True)
class Settings:
    """What a run is asked for, and what the user allows."""

    task: str
    root: Path
    candidates: int = 3
    seed: int = 1
    plan_only: bool = False
    model: str | None = None
    map_tokens: int = 1500
    check_seconds: float = 300.0
    checks: tuple[str, ...] = ()
    """Commands of the user's that have to pass in the end."""
    allow: tuple[str, ...] = ()
    """Protected files that may change."""
    allow_api: tuple[str, ...] = ()
    """Public names that may go or change."""
    allow_tests: bool = False
    limits: RunLimits = field(default_factory=RunLimits)

    def to_header(self) -> dict[str, Any]:
        """What a trajectory keeps of them."""
        return {**asdict(self), "root": str(self.root)}

    @classmethod
    def from_header(cls, header: dict[str, Any], limits: RunLimits) -> Settings:
        """The settings of an earlier run, with new limits."""
        return cls(**known_settings(header, cls.__dataclass_fields__), limits=limits)


def known_settings(header: dict[str, Any], names: Collection[str]) -> dict[str, Any]:
    """The settings that a trajectory keeps, but for the limits.

    Raises:
        FileProblem: they are not the named ones.
    """
    known = header.get("settings")
    if not isinstance(known, dict) or set(known) != set(names):
        raise FileProblem("The trajectory's settings are not of this version.")
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in known.items()}
    return {**{name: value for name, value in values.items() if name != "limits"}, "root": Path(known["root"])}
