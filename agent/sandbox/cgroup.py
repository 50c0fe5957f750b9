"""A cgroup (version 2) for one command, where this user may make one: the kernel itself holds memory and processes."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

_MOUNT = Path("/sys/fs/cgroup")
_NEEDED = {"memory", "pids"}


def make_group(memory: int, processes: int, mount: Path = _MOUNT, own: str | None = None) -> Path | None:
    """A new group with these limits below the nearest group that may be divided; None where there is none."""
    parent = _divisible(mount, _own_group() if own is None else own)
    if parent is None:
        return None
    try:
        group = Path(tempfile.mkdtemp(prefix="dovetail-", dir=parent))
        (group / "memory.max").write_text(str(memory))
        (group / "pids.max").write_text(str(processes))
        with suppress(OSError):  # there is no swap to limit
            (group / "memory.swap.max").write_text("0")
        with suppress(OSError):
            (group / "memory.oom.group").write_text("1")
    except OSError:
        return None
    return group


def join(group: Path) -> bool:
    """Put this process, and all that it starts, into the group; whether that went well."""
    try:
        (group / "cgroup.procs").write_text(str(os.getpid()))
    except OSError:
        return False
    return True


def out_of_memory(group: Path) -> bool:
    """Whether the kernel ended processes of the group because of its memory limit."""
    with suppress(OSError):
        return any(
            line.split()[0] in {"oom_kill", "oom_group_kill"} and line.split()[1] != "0"
            for line in (group / "memory.events").read_text().splitlines()
        )
    return False


def remove(group: Path) -> None:
    """Drop the empty group."""
    with suppress(OSError):
        (group / "cgroup.kill").write_text("1")
    with suppress(OSError):
        group.rmdir()


def _own_group() -> str:
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            if line.startswith("0::"):
                return line[3:]
    return "/"


def _divisible(mount: Path, own: str) -> Path | None:
    group = mount / own.lstrip("/")
    for candidate in (group, *group.parents):
        if not candidate.is_relative_to(mount):
            return None
        with suppress(OSError):
            controllers = set((candidate / "cgroup.subtree_control").read_text().split())
            if (
                controllers >= _NEEDED
                and os.access(candidate / "cgroup.procs", os.W_OK)
                and os.access(candidate, os.W_OK)
            ):
                return candidate
    return None
