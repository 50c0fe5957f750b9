"""Writing accepted changes to the user's tree: all of them or none, and never over what the user changed meanwhile."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from dovetail.agent.checks.case import Change
from dovetail.agent.files import Source, write_source
from dovetail.agent.problems import FileProblem


def write_changes(root: Path, changes: Mapping[str, Change]) -> None:
    """Write every file; on any failure, an interruption included, put back what was written.

    Raises:
        FileProblem: a file is not as it was read, or cannot be written; then the tree is as it was.
    """
    for path, change in changes.items():
        _require_unchanged(root, path, change)
    done: list[str] = []
    try:
        for path, change in changes.items():
            done.append(path)
            _write(root, path, change.before, change.after)
    except BaseException:
        for path in reversed(done):
            if _text(root / path) == changes[path].after:
                _write(root, path, changes[path].after, changes[path].before)
        raise


def save_text(path: Path, text: str) -> None:
    """Keep a patch or a report beside the trajectory, readable by the user alone."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        file.write(text)
    os.replace(temporary, path)


def _write(root: Path, path: str, before: str | None, after: str | None) -> None:
    full = root / path
    if after is None:
        full.unlink(missing_ok=True)
    elif before is None:
        full.parent.mkdir(parents=True, exist_ok=True)
        with open(full, "x", encoding="utf-8", newline="") as file:
            file.write(after)
    else:
        write_source(Source(path, full, before), after)


def _require_unchanged(root: Path, path: str, change: Change) -> None:
    full = root / path
    inside = os.path.realpath(full).startswith(os.path.join(os.path.realpath(root), ""))
    if not inside:
        raise FileProblem(f"{path} leads out of the repository; nothing was written.")
    if _text(full) != change.before:
        raise FileProblem(f"{path} has changed since the run began; nothing was written.")


def _text(path: Path) -> str | None:
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise FileProblem(f"{path} cannot be read as text; nothing was written.") from error
