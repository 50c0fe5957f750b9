"""Containment without namespaces: Landlock for files, seccomp for system calls. Where bubblewrap cannot run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from dovetail.agent.sandbox import landlock, seccomp
from dovetail.agent.sandbox.backend import Run
from dovetail.agent.sandbox.environment import environment
from dovetail.agent.sandbox.launch import Order
from dovetail.agent.sandbox.places import NETWORK_SETTINGS, SETTINGS, SYSTEM, Places

_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
_ALSO_READ = ("/proc", "/sys/devices/system/cpu", "/etc/passwd", "/etc/group", "/etc/hosts")
_SCOPES, _TRUNCATE = 6, 3
"""The versions of Landlock from which it holds signals and abstract sockets, and truncate(2)."""


class Confined:
    """Runs commands under Landlock and seccomp. ``version``: the Landlock to speak, if not the kernel's own."""

    name = "landlock"

    def __init__(self, version: int | None = None) -> None:
        self.version = min(landlock.abi(), 99 if version is None else version)

    @property
    def gaps(self) -> tuple[str, ...]:
        """What is different from bubblewrap."""
        gaps = [
            "Command lines of the user's other processes can be seen.",
            "Folders that hold a protected path take no new entries and lose none (the top of a tree with .git in it).",
            "Modes, owners and times of files cannot be changed.",
            "Sockets, POSIX semaphores and System V IPC do not work.",
        ]
        if self.version < _SCOPES:
            gaps.append("Signals reach only the command's own process group.")
        return tuple(gaps)

    def order(self, run: Run) -> Order:
        """The command, and what the launcher takes away before it becomes it.

        Raises:
            FileNotFoundError: the kernel has no Landlock, or the machine is not known here.
        """
        if self.version < 1:
            raise FileNotFoundError(
                "this kernel has no Landlock, or it is switched off (it is listed in /sys/kernel/security/lsm)"
            )
        home, temporary = run.private / "home", run.private / "tmp"
        for folder in (home, temporary):
            folder.mkdir(exist_ok=True)
        read = [*SYSTEM, *SETTINGS, *_ALSO_READ, *(NETWORK_SETTINGS if run.network else ())]
        real = dict.fromkeys(os.path.realpath(path) for path in read)
        shown = [str(path) for path in (run.places.root, *run.places.readable)]
        rights = landlock.Rights(
            read=[*real, *shown],
            write=[str(home), str(temporary), *(str(path) for path in writable(run.places.root, run.places))],
            devices=_DEVICES,
        )
        refusals = seccomp.Refusals(
            sockets=not run.network,
            unix_sockets=run.network,
            ipc=True,
            metadata=True,
            scheduling=True,
            signals=self.version < _SCOPES,
            truncate=self.version < _TRUNCATE,
        )
        visible = [*(Path(each) for each in SYSTEM), run.places.root, *run.places.readable]
        return Order(
            command=list(run.command),
            environment=environment(run.outside, visible, home, temporary, run.extra),
            folder=str(run.folder),
            limits=run.limits,
            filter=seccomp.program(refusals),
            rights=rights,
            landlock_version=self.version,
            network=run.network,
            places=[str(each) for each in (run.places.root, home, temporary)],
        )


def writable(folder: Path, places: Places) -> Iterator[Path]:
    """The largest folders and files that hold nothing protected: Landlock gives rights on all below a path."""
    if any(folder.is_relative_to(path) for path in places.protected):
        return
    if not any(path.is_relative_to(folder) for path in places.protected):
        yield folder
        return
    with os.scandir(folder) as entries:
        inner = sorted((Path(entry.path) for entry in entries if not entry.is_symlink()), key=str)
    for path in inner:
        if path.is_dir():
            yield from writable(path, places)
        elif path not in places.protected:
            yield path
