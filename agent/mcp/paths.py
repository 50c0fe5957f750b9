"""Which paths a client of the MCP server may name. Opens no file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from dovetail.agent.checks.policy import is_protected
from dovetail.agent.problems import FileProblem


def inside(root: Path, path: str) -> str:
    """A path as the repository calls it.

    Raises:
        FileProblem: it leads out of the root, also by a link, or is no plain relative path.
    """
    parts = path.split("/")
    if not path or path.startswith(("/", "~")) or "\0" in path or "\\" in path or {"", ".", ".."} & set(parts):
        raise FileProblem(
            f"{path!r} is refused: paths are relative to {root}, with forward slashes, without . and .. in them."
        )
    if any(part.lower() == ".git" for part in parts):
        raise FileProblem(f"{path} is refused: git's own files are not for tools.")
    real = os.path.realpath(root / path)
    if not real.startswith(os.path.join(os.path.realpath(root), "")):
        raise FileProblem(f"{path} is refused: it leads out of {root}.")
    return path


def writable(root: Path, path: str, allowed: Sequence[str]) -> str:
    """The same for a path that is to be written.

    Raises:
        FileProblem: it is protected too, or reached by a link.
    """
    inside(root, path)
    full = root
    for part in path.split("/"):
        full = full / part
        if full.is_symlink():
            raise FileProblem(f"{path} is refused: {full.relative_to(root)} is a link.")
    if full.exists() and not full.is_file():
        raise FileProblem(f"{path} is refused: it is no regular file.")
    if is_protected(path) and path not in allowed:
        raise FileProblem(
            f"{path} is protected; its owner may allow it when the server is started: dovetail mcp --allow {path}"
        )
    return path
