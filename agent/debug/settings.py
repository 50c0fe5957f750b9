"""What a debugging run is asked for, and what the user allows. Knows nothing of how it is done."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dovetail.agent.loop.limits import RunLimits
from dovetail.agent.loop.settings import known_settings


@dataclass(frozen=True)
class FixSettings:
    """What a run is asked for. ``repeats``: how often the command is run before anything is believed."""

    command: str
    root: Path
    candidates: int = 4
    repeats: int = 3
    seed: int = 1
    explain_only: bool = False
    model: str | None = None
    check_seconds: float = 300.0
    checks: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    allow_api: tuple[str, ...] = ()
    limits: RunLimits = field(default_factory=RunLimits)

    def to_header(self) -> dict[str, Any]:
        """What a trajectory keeps of them."""
        return {**asdict(self), "root": str(self.root)}

    @classmethod
    def from_header(cls, header: dict[str, Any], limits: RunLimits) -> FixSettings:
        """The settings of an earlier run, with new limits."""
        return cls(**known_settings(header, cls.__dataclass_fields__), limits=limits)
