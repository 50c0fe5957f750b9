"""Small repositories on disk, for tests."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

ALONE = "[pytest]\naddopts = -p no:hypothesispytest -p no:anyio -p no:asyncio -p no:timeout\n"
"""A pytest.ini that leaves out the plugins installed for this project: they take most of the time of a small run."""


def write(root: Path, files: Mapping[str, str | bytes]) -> None:
    """Write the files, with the folders they need."""
    for path, content in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)


def git(root: Path, *arguments: str) -> None:
    """Run git there, as somebody."""
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@t", *arguments]
    subprocess.run(command, cwd=root, check=True, capture_output=True)
