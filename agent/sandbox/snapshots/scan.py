"""Reads a work tree as entries; only what changed since the last time is read again. Follows no link."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from dovetail.agent.sandbox.snapshots.entries import TOP, Entry

_TOOLS, _MADE = {".venv", "venv", "node_modules"}, {"__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache"}
CACHES = frozenset(_TOOLS | _MADE | {".hypothesis", ".tox", ".nox"})
"""Folders of tools: they can be made again, and some are read-only for commands. Not kept at any depth."""

CACHED = "tools and caches are not kept"
_RACY = 50_000_000
"""Nanoseconds: a file that changed so shortly before it was looked at may change again at the same time stamp."""

_ATTEMPTS = 3


class Known(NamedTuple):
    """What a file's status was when its content was read, and its object's name."""

    size: int
    modified: int
    changed: int
    inode: int
    content: str


class Scan:
    """One pass over a work tree. ``keep`` takes a content and names it; ``known`` is used, and brought up to date."""

    def __init__(self, root: Path, known: dict[str, Known], keep: Callable[[bytes], str], largest: int) -> None:
        self._root = str(root)
        self._before, self._known = dict(known), known
        self._keep, self._largest = keep, largest
        self.entries: dict[str, Entry] = {}
        self.uncovered: dict[str, str] = {}
        self.hashed = 0

    def run(self) -> None:
        """Read the tree."""
        self._known.clear()
        top = os.stat(self._root)
        self.entries[TOP] = Entry("folder", stat.S_IMODE(top.st_mode), "", top.st_mtime_ns)
        pending = [""]
        while pending:
            folder = pending.pop()
            try:
                found = list(self._inside(folder))
            except OSError as error:
                self.uncovered[folder or "."] = f"cannot be read: {error.strerror}"
                continue
            for path, item in found:
                if item.is_dir(follow_symlinks=False):
                    if not folder and item.name == ".git":
                        continue
                    if item.name in CACHES:
                        self.uncovered[path] = CACHED
                        continue
                    pending.append(path)
                self._take(path, item)

    def _inside(self, folder: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
        prefix = folder + "/" if folder else ""
        with os.scandir(f"{self._root}/{folder}") as items:
            for item in items:
                yield prefix + item.name, item

    def _take(self, path: str, item: os.DirEntry[str]) -> None:
        try:
            status = item.stat(follow_symlinks=False)
            mode = stat.S_IMODE(status.st_mode)
            if stat.S_ISDIR(status.st_mode):
                self.entries[path] = Entry("folder", mode, "", status.st_mtime_ns)
            elif stat.S_ISLNK(status.st_mode):
                content = self._keep(os.fsencode(os.readlink(item.path)))
                self.entries[path] = Entry("link", 0, content, status.st_mtime_ns)
            elif not stat.S_ISREG(status.st_mode):
                self.uncovered[path] = "is no file, link or folder"
            elif status.st_size > self._largest:
                self.uncovered[path] = f"is larger than {self._largest} bytes"
            else:
                self.entries[path] = Entry("file", mode, self._content(path, item.path, status), status.st_mtime_ns)
        except OSError as error:
            self.uncovered[path] = f"cannot be read: {error.strerror}"

    def _content(self, path: str, file: str, status: os.stat_result) -> str:
        known = self._before.get(path)
        if known is not None and known[:4] == _identity(status):
            self._known[path] = known
            return known.content
        for _ in range(_ATTEMPTS):
            now = time.time_ns()
            with open(os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as opened:
                data = opened.read()
                after = os.fstat(opened.fileno())
            if _identity(after) == _identity(status):
                break
            status = after
        self.hashed += 1
        content = self._keep(data)
        if max(status.st_mtime_ns, status.st_ctime_ns) < now - _RACY:
            self._known[path] = Known(*_identity(status), content)
        return content


def _identity(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino
