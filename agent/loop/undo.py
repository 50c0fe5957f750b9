"""What a run wrote, kept as it was before, and the way back: file by file, never over what somebody changed since."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from dovetail.agent.checks.case import Change
from dovetail.agent.loop.writing import save_text, write_changes
from dovetail.agent.problems import FileProblem

_LARGEST = 1 << 30


class Undone(NamedTuple):
    """``restored``: as they were before the run. ``kept``: changed by somebody since, or gone; left alone."""

    root: Path
    restored: tuple[str, ...]
    kept: tuple[str, ...]


def record_of(trajectory: Path) -> Path:
    """Where the files of a run are kept as they were: beside its trajectory."""
    return trajectory.with_suffix(".undo.json")


def keep(trajectory: Path, root: Path, changes: Mapping[str, Change]) -> None:
    """Keep what is about to be written over."""
    files = {path: {"before": change.before, "after": change.after} for path, change in changes.items()}
    save_text(record_of(trajectory), json.dumps({"root": str(root), "files": files}))


def undo(trajectory: Path) -> Undone:
    """Bring the files of a run back to what they were before it.

    Raises:
        FileProblem: the run wrote nothing, its record cannot be read, or a file cannot be written (then none is).
    """
    root, changes = _read(record_of(trajectory))
    back = {
        path: Change(change.after, change.before) for path, change in changes.items() if _as_left(root / path, change)
    }
    write_changes(root, back)
    kept = tuple(path for path, change in changes.items() if path not in back and not _is_back(root / path, change))
    return Undone(root, tuple(sorted(back)), kept)


def _as_left(path: Path, change: Change) -> bool:
    return _bytes(path) == _encoded(change.after)


def _is_back(path: Path, change: Change) -> bool:
    return _bytes(path) == _encoded(change.before)


def _encoded(text: str | None) -> bytes | None:
    return None if text is None else text.encode("utf-8")


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise FileProblem(f"{path} cannot be read: {error.strerror}.") from error


def _read(record: Path) -> tuple[Path, dict[str, Change]]:
    try:
        if record.stat().st_size > _LARGEST:
            raise FileProblem(f"{record} is too large for what a run wrote.")
        stored: dict[str, Any] = json.loads(record.read_text("utf-8"))
        files = {path: Change(each["before"], each["after"]) for path, each in stored["files"].items()}
        return Path(stored["root"]), files
    except FileNotFoundError as error:
        raise FileProblem(
            f"There is nothing to take back: {record} is not there, so that run wrote nothing."
        ) from error
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise FileProblem(f"{record} cannot be read as what a run wrote: {error}.") from error
