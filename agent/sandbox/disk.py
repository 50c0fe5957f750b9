"""How much of the disk a command takes: what it writes to its own places, deleted files that it keeps open too. Ends nothing."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress

_BLOCK = 512
_LEFT = 256 << 20
"""Bytes of free space that no command takes, whoever took the rest."""
_SLACK = 50_000_000
"""Nanoseconds by which the times of files may lag behind the clock."""
_PAUSE = 20.0
"""After a count, the next one waits this many times as long as it took."""


class DiskUse:
    """Watches one command from now on.

    The files are counted only when the free space has shrunk by more than the command may take: looking at free space
    costs nothing, and most of the time nobody writes as much. ``places`` are the folders that the command can write
    to; empty: all of the disk, so that what others write counts too. Files in memory are no part of it.
    """

    def __init__(self, folder: str, places: Sequence[str], most: int) -> None:
        self._places, self._most = places, most
        self._since = time.time_ns() - _SLACK
        self._disks = {os.stat(path).st_dev: path for path in (folder, *places)}
        self._free = self._first = self._space()
        self._allowed = most
        self._not_before = 0.0

    def exceeded(self, processes: Sequence[int]) -> bool:
        """Whether the command, which is these processes, has taken more than it may."""
        free = self._space()
        shrunk = max(self._free[disk] - free[disk] for disk in free)
        if shrunk <= self._allowed:
            return False
        full = any(free[disk] < _LEFT and self._first[disk] - free[disk] > self._most for disk in free)
        if not self._places or full:
            return True
        started = time.monotonic()
        if started < self._not_before:
            return False
        taken = self._taken(processes)
        self._not_before = time.monotonic() + _PAUSE * (time.monotonic() - started)
        self._free, self._allowed = free, self._most - taken
        return taken > self._most

    def _space(self) -> dict[int, int]:
        return {
            disk: space.f_bavail * space.f_frsize for disk, path in self._disks.items() for space in [os.statvfs(path)]
        }

    def _taken(self, processes: Sequence[int]) -> int:
        """Bytes of files in the command's places that changed since the start, and of deleted ones that are open."""
        found = self._deleted(processes)
        for place in self._places:
            for seen in _files(place):
                if seen.st_ctime_ns >= self._since:
                    found[seen.st_dev, seen.st_ino] = seen.st_blocks * _BLOCK
        return sum(found.values())

    def _deleted(self, processes: Sequence[int]) -> dict[tuple[int, int], int]:
        found = {}
        for pid in processes:
            with suppress(OSError):
                for name in os.listdir(f"/proc/{pid}/fd"):
                    with suppress(OSError):
                        seen = os.stat(f"/proc/{pid}/fd/{name}")
                        if stat.S_ISREG(seen.st_mode) and not seen.st_nlink and seen.st_dev in self._disks:
                            found[seen.st_dev, seen.st_ino] = seen.st_blocks * _BLOCK
        return found


def _files(place: str) -> Iterator[os.stat_result]:
    """Every file and folder below a place; no link is followed."""
    pending = [place]
    while pending:
        with suppress(OSError), os.scandir(pending.pop()) as entries:
            for entry in entries:
                with suppress(OSError):
                    yield entry.stat(follow_symlinks=False)
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
