"""The descendants of this process: how many, how much memory, and their end. Knows no command and no limit."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")


def descendants(root: int) -> list[int]:
    """All processes below ``root``, parents first."""
    if Path(f"/proc/{root}/task/{root}/children").exists():
        return list(_by_children(root))
    return list(_by_parents(root))


def resident(pid: int) -> int:
    """The memory that a process holds, what it shares with others counted in full."""
    with suppress(OSError, IndexError, ValueError):
        return int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * _PAGE
    return 0


def proportional(pid: int) -> int:
    """The memory that a process holds, what it shares with others counted by its part."""
    with suppress(OSError, ValueError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_bytes().splitlines():
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) * 1024
    return resident(pid)


def kill_descendants(leader: int = 0) -> None:
    """End every process below this one and take its exit status; returns when there is none left.

    This process must be a child subreaper: then orphans become its children. Whole process groups are killed: the
    kernel does that in one step, so that one which keeps forking cannot get away. ``leader`` is the likeliest group.
    """
    if leader:
        signal_group(leader, signal.SIGKILL)
    own = os.getpgrp()
    while alive := descendants(os.getpid()):
        for group in {_group(pid) for pid in alive} - {own, 0}:
            signal_group(group, signal.SIGKILL)
        for pid in alive:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if not reap():
            return


def reap() -> bool:
    """Wait for one child and for those that have ended too; False if there is no child."""
    try:
        os.waitpid(-1, 0)
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def of_this_user() -> int:
    """How many threads run for this user, here and elsewhere."""
    count, user = 0, os.getuid()
    for name in os.listdir("/proc"):
        with suppress(OSError):
            if name.isdigit() and os.stat(f"/proc/{name}").st_uid == user:
                count += len(os.listdir(f"/proc/{name}/task"))
    return count


def of_the_machine() -> int:
    """How many threads there are at all; costs next to nothing."""
    return int(Path("/proc/loadavg").read_bytes().split()[3].split(b"/")[1])


def signal_group(group: int, number: signal.Signals) -> None:
    """Signal a whole process group in one step, if it is still there."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _group(pid: int) -> int:
    with suppress(ProcessLookupError):
        return os.getpgid(pid)
    return 0


def _by_children(root: int) -> Iterator[int]:
    pending = [root]
    while pending:
        pid = pending.pop()
        children: list[int] = []
        with suppress(OSError):
            for task in os.listdir(f"/proc/{pid}/task"):
                with suppress(OSError):
                    children += map(int, Path(f"/proc/{pid}/task/{task}/children").read_bytes().split())
        yield from children
        pending += children


def _by_parents(root: int) -> Iterator[int]:
    parents: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(OSError, IndexError, ValueError):
                fields = Path(f"/proc/{name}/stat").read_bytes().rsplit(b")", 1)[1].split()
                parents.setdefault(int(fields[1]), []).append(int(name))
    pending = [root]
    while pending:
        children = parents.get(pending.pop(), [])
        yield from children
        pending += children
