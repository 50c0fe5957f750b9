"""What the engine process was at, kept where its death does not reach: a few bytes of a file shared with whoever looks after it.

A native library that crashes leaves no message of its own; this says for which request it was asked. Knows no requests.
"""

from __future__ import annotations

import mmap
from pathlib import Path

_SIZE = 512


class Breadcrumb:
    """Notes over one another; writing one costs a microsecond and no system call."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(bytes(_SIZE))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), _SIZE)

    def note(self, text: str) -> None:
        """What is being done now; empty: nothing of note."""
        self._memory[:_SIZE] = text.encode(errors="replace")[:_SIZE].ljust(_SIZE, b"\0")


def last_note(path: Path) -> str:
    """The last note left there."""
    try:
        return path.read_bytes().rstrip(b"\0").decode(errors="replace")
    except OSError:
        return ""


def beside(address: str) -> Path:
    """Where the process at a socket's address leaves its notes."""
    return Path(address.removeprefix("ipc://")).with_suffix(".note")
