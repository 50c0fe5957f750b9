"""Which files belong to a repository, and what their content is. Knows no language."""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LARGEST = 1 << 20
"""Bytes of the largest file that is read; larger ones are known by name only."""

IGNORED_FOLDERS = frozenset(
    {
        ".git", ".hg", ".svn", ".jj", ".venv", "venv", "node_modules", "__pycache__", ".mypy_cache", ".ruff_cache",
        ".pytest_cache", ".tox", ".nox", ".eggs", "target", "dist", "build", ".gradle", ".idea", ".next", ".cache",
    }
)  # fmt: skip
"""Folders that a walk leaves out where no git says what is ignored."""

_GIT_SECONDS = 60
_GIT_ENVIRONMENT = {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}


@dataclass(frozen=True)
class Stamp:
    """What the file system says of a file: equal stamps mean equal content, unless it was written just now."""

    size: int
    modified: int
    changed: int
    inode: int


def list_files(root: Path) -> list[str]:
    """Paths relative to ``root``, with forward slashes, sorted: what git tracks or would, else what a walk finds."""
    listed = _listed_by_git(root)
    return sorted({path for path in listed or _walk(root) if path})


def linked_folder(root: Path, path: str) -> str | None:
    """Where a link to a folder leads, if that lies below ``root`` too."""
    full = os.path.join(root, path)
    if not os.path.islink(full) or not os.path.isdir(full):
        return None
    target = os.path.relpath(os.path.realpath(full), os.path.realpath(root))
    return None if target.startswith("..") or target == "." else Path(target).as_posix()


def stamp(root: Path, path: str) -> Stamp | None:
    """The stamp of a regular file below ``root``; None for anything else, such as a link that leads out of it."""
    full = os.path.join(root, path)
    try:
        seen = os.lstat(full)
        if stat.S_ISLNK(seen.st_mode):
            if not os.path.realpath(full).startswith(os.path.join(os.path.realpath(root), "")):
                return None
            seen = os.stat(full)
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(seen.st_mode):
        return None
    return Stamp(seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns, seen.st_ino)


def read(root: Path, path: str) -> bytes | None:
    """The content of a file, None where it cannot be read or has grown beyond ``LARGEST``."""
    try:
        with open(os.path.join(root, path), "rb") as file:
            content = file.read(LARGEST + 1)
    except OSError:
        return None
    return content if len(content) <= LARGEST else None


def digest_of(content: bytes) -> str:
    """The name under which a content is known in the cache."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _listed_by_git(root: Path) -> list[str] | None:
    """Tracked files and untracked ones that are not ignored; None where git or its repository is not there."""
    command = ["git", "-c", "core.fsmonitor=false", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        outcome = subprocess.run(
            command,
            cwd=root,
            capture_output=True,
            timeout=_GIT_SECONDS,
            env={name: value for name, value in os.environ.items() if not name.startswith("GIT_")} | _GIT_ENVIRONMENT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if outcome.returncode != 0:
        return None
    listed = [os.fsdecode(raw) for raw in outcome.stdout.split(b"\0")]
    nested = [path for path in listed if path.endswith("/")]
    return [path for path in listed if not path.endswith("/")] + [file for path in nested for file in _walk(root, path)]


def _walk(root: Path, below: str = "") -> Iterator[str]:
    """Files below a folder of ``root``. Linked folders are not entered."""
    for folder, folders, files in os.walk(root / below):
        folders[:] = sorted(name for name in folders if name not in IGNORED_FOLDERS)
        inner = Path(folder).relative_to(root).as_posix()
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        yield from (name if inner == "." else f"{inner}/{name}" for name in files + links)
