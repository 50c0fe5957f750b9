"""What became of a command that ran contained, and the limits it ran under. Runs nothing."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Literal

EndedBy = Literal[
    "exit", "signal", "timeout", "memory", "processes", "cpu", "file size", "disk", "output", "cancelled", "not started"
]

MIB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """What a command may use. Memory and processes are of all its processes together."""

    timeout: float = 120.0
    cpu: int = 600
    """Processor seconds of one process."""
    memory: int = 4096 * MIB
    processes: int = 512
    file_size: int = 1024 * MIB
    disk: int = 4096 * MIB
    """Bytes that it writes to the work tree and to its private folders on disk."""
    open_files: int = 4096
    output: int = 256 * 1024
    """Bytes of output that are kept: the first half and the last half."""

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value <= 0:
                raise ValueError(f"the limit {name} must be above 0, not {value}")


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    command: tuple[str, ...]
    exit_code: int
    """Of the command; 128 + N after signal N; 126 or 127 where it could not be started."""
    output: str
    """Standard output and error together, as they came."""
    ended_by: EndedBy
    seconds: float
    containment: str
    """The backend, or a sentence saying that there was none."""
    dropped_bytes: int = 0
    peak_memory: int = 0
    peak_processes: int = 0
    notes: tuple[str, ...] = ()
    """What is worth knowing about this run: gaps of the backend, protected paths that were put back."""

    @property
    def ok(self) -> bool:
        """Whether it ended by itself with exit code 0."""
        return self.ended_by == "exit" and self.exit_code == 0

    @property
    def timed_out(self) -> bool:
        """Whether the wall time ran out."""
        return self.ended_by == "timeout"

    @property
    def truncated(self) -> bool:
        """Whether output was dropped in the middle."""
        return self.dropped_bytes > 0

    def to_json(self) -> str:
        """For trajectories and reports."""
        return json.dumps(asdict(self))
