"""Containment by bubblewrap: namespaces with a root directory, users, processes and a network of their own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from dovetail.agent.sandbox import kernel, seccomp
from dovetail.agent.sandbox.backend import Run
from dovetail.agent.sandbox.environment import environment
from dovetail.agent.sandbox.launch import FILTER_DESCRIPTOR, Order
from dovetail.agent.sandbox.places import NETWORK_SETTINGS, SETTINGS, SYSTEM, Places

_UID = "1000"
_HOME = Path("/tmp/home")
_ACCOUNTS = {
    "passwd": "root:x:0:0:root:/root:/bin/sh\n"
    f"dovetail:x:{_UID}:{_UID}:dovetail:{_HOME}:/bin/sh\n"
    "nobody:x:65534:65534::/:/bin/sh\n",
    "group": f"root:x:0:\ndovetail:x:{_UID}:\nnogroup:x:65534:\n",
    "hosts": "127.0.0.1 localhost sandbox\n::1 localhost\n",
}
_NAMESPACES = (
    f"--unshare-user --uid {_UID} --gid {_UID} --unshare-ipc --unshare-pid --unshare-uts --unshare-cgroup-try "
    "--hostname sandbox --die-with-parent --new-session --cap-drop ALL"
).split()


class Bubblewrap:
    """Runs commands through ``bwrap``."""

    name = "bubblewrap"
    gaps: tuple[str, ...] = ()

    def __init__(self, program: str | None = None) -> None:
        self._program = program or shutil.which("bwrap")

    def order(self, run: Run) -> Order:
        """The command with bubblewrap before it.

        Raises:
            FileNotFoundError: bubblewrap is not installed.
        """
        if self._program is None:
            raise FileNotFoundError("bwrap is not installed")
        visible = [*(Path(each) for each in SYSTEM), run.places.root, *run.places.readable]
        code = seccomp.program(seccomp.Refusals()) if kernel.known_machine() else b""
        arguments = [
            *_NAMESPACES,
            *([] if run.network else ["--unshare-net"]),
            *_system(run),
            *_tree(run.places),
            *("--remount-ro", "/", "--chdir", str(run.folder)),
            *(["--seccomp", str(FILTER_DESCRIPTOR)] if code else []),
        ]
        return Order(
            command=[self._program, *arguments, "--", *run.command],
            environment=environment(run.outside, visible, _HOME, Path("/tmp"), run.extra),
            folder=str(run.places.root),
            limits=run.limits,
            filter=code,
            hand_over=True,
            places=[str(run.places.root)],
        )


def _system(run: Run) -> Iterator[str]:
    """The machine as far as it is shown, and folders in memory for what programs write."""
    for path in SYSTEM:
        if os.path.islink(path):
            yield from ("--symlink", os.readlink(path), path)
        elif os.path.isdir(path):
            yield from ("--ro-bind", path, path)
    for path in (*SETTINGS, *(NETWORK_SETTINGS if run.network else ())):
        yield from ("--ro-bind-try", os.path.realpath(path), path)
    for name, text in _ACCOUNTS.items():
        if name == "hosts" and run.network:
            continue
        file = run.private / name
        file.write_text(text)
        yield from ("--ro-bind", str(file), f"/etc/{name}")
    yield from ("--ro-bind-try", "/sys/devices/system/cpu", "/sys/devices/system/cpu")
    yield from ("--proc", "/proc", "--dev", "/dev")
    for path in ("/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs", "/proc/acpi"):
        yield from ("--ro-bind-try", path, path)  # their owner is the real root: writable, if that is who runs this
    yield from ("--size", str(min(256 << 20, run.limits.memory // 4)), "--tmpfs", "/dev/shm")
    yield from ("--remount-ro", "/dev")
    yield from ("--size", str(min(1 << 30, run.limits.memory // 2)), "--tmpfs", "/tmp", "--dir", str(_HOME))


def _tree(places: Places) -> Iterator[str]:
    """The work tree, writable; on it what is protected.

    A folder above a protected path becomes a mount point of its own: renaming it away, and a new one into its place,
    is refused then.
    """
    for path in places.readable:
        yield from ("--ro-bind", str(path), str(path))
    yield from ("--bind", str(places.root), str(places.root))
    above = {each for path in places.protected for each in path.parents if each != places.root}
    for path in sorted(each for each in above if each.is_relative_to(places.root)):
        if not path.is_symlink() and not any(path.is_relative_to(each) for each in places.protected):
            yield from ("--bind", str(path), str(path))
    for path in places.protected:
        yield from ("--ro-bind", str(path), str(path))
