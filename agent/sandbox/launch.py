"""The launcher: a small process that contains and starts one command, watches its limits and ends all of it.

It reads an order from standard input and goes on reading: when its parent goes away, it kills everything. It never runs
inside the agent's own process, and knows neither work trees nor policies.
"""

from __future__ import annotations

import base64
import errno
import json
import os
import resource
import select
import signal
import struct
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from dovetail.agent.sandbox import cgroup, kernel, landlock, processes, seccomp
from dovetail.agent.sandbox.disk import DiskUse
from dovetail.agent.sandbox.outcome import Limits

FILTER_DESCRIPTOR = 9
"""Where a program that installs the seccomp filter itself finds it."""

_NOT_STARTED = 126
_GLANCE, _LOOK = 0.03, 0.1
"""Seconds between glances at how crowded the machine is, and between looks at every process of the command."""


@dataclass(frozen=True)
class Order:
    """What the launcher is told. ``filter``: the seccomp program; ``hand_over``: the command installs it itself.

    ``places``: the folders on disk that the command can write to; empty: nobody knows.
    """

    command: list[str]
    environment: dict[str, str]
    folder: str
    limits: Limits
    filter: bytes = b""
    hand_over: bool = False
    rights: landlock.Rights | None = None
    landlock_version: int = 0
    network: bool = False
    places: list[str] = field(default_factory=list)

    def to_bytes(self) -> bytes:
        """The order with its length before it."""
        values = asdict(self) | {"filter": base64.b64encode(self.filter).decode()}
        body = json.dumps(values).encode()
        return struct.pack("=I", len(body)) + body


def read_order(source: int) -> Order:
    """The order that ``Order.to_bytes`` wrote."""
    values: dict[str, Any] = json.loads(_read(source, struct.unpack("=I", _read(source, 4))[0]))
    values["limits"] = Limits(**values["limits"])
    values["filter"] = base64.b64decode(values["filter"])
    if values["rights"] is not None:
        values["rights"] = landlock.Rights(**values["rights"])
    return Order(**values)


def main(status: int) -> None:
    """Do what the order says and write what became of it to the descriptor ``status``."""
    os.set_inheritable(status, False)
    order = read_order(0)
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    with suppress(PermissionError):
        os.setsid()
    group = cgroup.make_group(order.limits.memory, order.limits.processes)
    try:
        report = _Watch(order, group).run()
    finally:
        processes.kill_descendants()
        if group is not None:
            cgroup.remove(group)
    os.write(status, json.dumps(report).encode())


class _Watch:
    """One command under watch."""

    def __init__(self, order: Order, group: Path | None) -> None:
        self._order, self._limits, self._group = order, order.limits, group
        self._peak_memory = self._peak_processes = 0
        self._disk = DiskUse(order.folder, order.places, self._limits.disk)
        self._wake, wake = os.pipe()
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)

    def run(self) -> dict[str, Any]:
        """Until the command ends or has to."""
        started = time.monotonic()
        child, problem = self._start()
        if problem:
            os.waitpid(child, 0)
            return {"exit_code": _NOT_STARTED, "ended_by": "not started", "error": problem}
        crowd = processes.of_the_machine() + self._limits.processes
        looked = 0.0
        while True:
            status = self._ended(child)
            if status is not None:
                return self._report(*_ending(status))
            seconds = time.monotonic() - started
            crowded = processes.of_the_machine() > crowd
            if crowded:  # held still for as long as it takes to count
                processes.signal_group(child, signal.SIGSTOP)
            if crowded or seconds - looked > _LOOK or seconds >= self._limits.timeout:
                looked = seconds
                reason = self._exceeded(seconds)
                if reason is not None:
                    processes.kill_descendants(child)
                    return self._report(128 + signal.SIGKILL, reason)
            if crowded:
                processes.signal_group(child, signal.SIGCONT)
            left = started + self._limits.timeout - time.monotonic()
            ready, _, _ = select.select([0, self._wake], [], [], max(0.0, min(_GLANCE, left)))
            if self._wake in ready:
                os.read(self._wake, 4096)
            if 0 in ready and not os.read(0, 4096):
                processes.kill_descendants(child)
                return self._report(128 + signal.SIGKILL, "cancelled")

    def _start(self) -> tuple[int, str]:
        """The child's id, and what kept it from starting."""
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            _become(self._order, self._group, writing)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            return child, pipe.read().decode("utf-8", "replace")

    def _ended(self, child: int) -> int | None:
        """The command's exit status, once it is there; orphans that came here are taken away."""
        with suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == child:
                    return status
                if not pid:
                    break
        return None

    def _exceeded(self, seconds: float) -> str | None:
        if seconds >= self._limits.timeout:
            return "timeout"
        alive = processes.descendants(os.getpid())
        self._peak_processes = max(self._peak_processes, len(alive))
        if len(alive) > self._limits.processes:
            return "processes"
        memory = sum(map(processes.resident, alive))
        if memory > self._limits.memory:
            memory = sum(map(processes.proportional, alive))
        self._peak_memory = max(self._peak_memory, memory)
        if memory > self._limits.memory:
            return "memory"
        return "disk" if self._disk.exceeded(alive) else None

    def _report(self, exit_code: int, ended_by: str) -> dict[str, Any]:
        if ended_by in {"exit", "signal"} and self._group is not None and cgroup.out_of_memory(self._group):
            ended_by = "memory"
        return {
            "exit_code": exit_code,
            "ended_by": ended_by,
            "peak_memory": self._peak_memory,
            "peak_processes": self._peak_processes,
            "error": "",
        }


def _become(order: Order, group: Path | None, problems: int) -> NoReturn:
    """In the child: contain this process and become the command; what fails is written to ``problems``."""
    try:
        os.setsid()
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        if group is not None:
            cgroup.join(group)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        null = os.open("/dev/null", os.O_RDWR)
        os.dup2(null, 0)
        _close_on_exec()
        os.umask(0o022)
        os.chdir(order.folder)
        _limit(order.limits)
        _contain(order)
        os.execvpe(order.command[0], order.command, order.environment)
    except (OSError, ValueError) as error:
        missing = isinstance(error, OSError) and error.errno == errno.ENOENT
        what = f"{order.command[0]} was not found" if missing else str(error)
        os.write(problems, what.encode())
    os._exit(_NOT_STARTED)


def _contain(order: Order) -> None:
    if not order.hand_over:
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        kernel.drop_capabilities()
    if order.rights is not None:
        landlock.restrict(order.rights, order.landlock_version, order.network)
    if order.filter and order.hand_over:
        reading, writing = os.pipe()
        os.write(writing, order.filter)
        os.close(writing)
        os.dup2(reading, FILTER_DESCRIPTOR)
        os.set_inheritable(FILTER_DESCRIPTOR, True)
    elif order.filter:
        seccomp.install(order.filter)


def _limit(limits: Limits) -> None:
    if os.getuid():  # root is not held to it; it counts what the user runs elsewhere too
        most = _at_most(resource.RLIMIT_NPROC, processes.of_this_user() + limits.processes)
        resource.setrlimit(resource.RLIMIT_NPROC, (most, most))
    seconds = _at_most(resource.RLIMIT_CPU, limits.cpu + 2)
    resource.setrlimit(resource.RLIMIT_CPU, (min(limits.cpu, seconds), seconds))  # SIGXCPU first, then SIGKILL
    for kind, value in (
        (resource.RLIMIT_DATA, limits.memory),
        (resource.RLIMIT_FSIZE, limits.file_size),
        (resource.RLIMIT_NOFILE, limits.open_files),
        (resource.RLIMIT_CORE, 0),
    ):
        most = _at_most(kind, value)
        resource.setrlimit(kind, (most, most))


def _at_most(kind: int, value: int) -> int:
    """A limit as wanted, or as this process has it, whichever is less."""
    _, most = resource.getrlimit(kind)
    return value if most == resource.RLIM_INFINITY else min(value, most)


def _close_on_exec() -> None:
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            if int(name) > 2:
                os.set_inheritable(int(name), False)


def _ending(status: int) -> tuple[int, str]:
    """Exit code and kind of end; a shell or bubblewrap tells of a signal by 128 + its number."""
    code = os.waitstatus_to_exitcode(status)
    number = -code if code < 0 else code - 128
    if number == signal.SIGXCPU:
        return 128 + number, "cpu"
    if number == signal.SIGXFSZ:
        return 128 + number, "file size"
    return (128 - code, "signal") if code < 0 else (code, "exit")


def _read(source: int, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        chunk = os.read(source, size - len(parts))
        if not chunk:
            raise EOFError("the order ended early")
        parts += chunk
    return bytes(parts)


if __name__ == "__main__":
    main(int(sys.argv[1]))
