"""What parsing one text may take of a process made for it: processor time and memory; with more, the process ends.

tree-sitter's error recovery takes time and memory that grow with the square of some texts, and can be interrupted by nothing
else: out of memory it aborts; and 512 bytes of `? ` as YAML crash a scanner. For processes of their own only. Knows no question.
"""

from __future__ import annotations

import contextlib
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

MEMORY_BYTES = 1 << 30
_SECONDS, _SECONDS_PER_MIB = 1.0, 6.0
_TOO_LONG = "its parser takes too long over it"


def seconds_for(size: int) -> float:
    """How much processor time a text of ``size`` bytes may take: far more than any source that people write."""
    return _SECONDS + _SECONDS_PER_MIB * size / (1 << 20)


def restrain(memory: int = MEMORY_BYTES) -> None:
    """Let this process have ``memory`` bytes more than it has now, and leave no core file."""
    with contextlib.suppress(OSError, ValueError):  # Not on every system.
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + memory
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


@contextlib.contextmanager
def timed(size: int, lenience: float = 1.0) -> Iterator[None]:
    """End this process if what is done meanwhile, with a text of ``size`` bytes, takes too much processor time."""
    signal.setitimer(signal.ITIMER_PROF, lenience * seconds_for(size))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def cause_of(status: int, *, silent: bool = False) -> str | None:
    """Why a text could not be read, from how its process ended; None: somebody else ended it. ``silent``: killed for that."""
    if silent or status == -signal.SIGPROF:
        return _TOO_LONG
    if status == -signal.SIGABRT:
        return "its parser takes too much memory over it"
    return None if status in (0, -signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT) else "its parser crashes over it"
