"""Starts the launcher with an order, takes the command's output, and comes back whatever happens."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dovetail
from dovetail.agent.sandbox.launch import Order
from dovetail.agent.sandbox.outcome import EndedBy
from dovetail.agent.sandbox.output import HeadAndTail

_GRACE = 10.0
"""Seconds that the launcher has for ending everything after the time is up."""

_AFTERWARDS = 1.0
"""Seconds for the rest of the output, once the launcher has reported."""

_FLOOD = 256
"""An output this many times as long as what is kept of it ends the command (at least 64 MiB)."""


@dataclass
class Ended:
    """What the launcher reported, and the output."""

    output: HeadAndTail
    exit_code: int = 126
    ended_by: EndedBy = "not started"
    error: str = ""
    peak_memory: int = 0
    peak_processes: int = 0
    seconds: float = field(default=0.0)


def supervise(order: Order) -> Ended:
    """Run one order to its end."""
    started = time.monotonic()
    out, out_child = os.pipe()
    status, status_child = os.pipe()
    ended = Ended(HeadAndTail(order.limits.output))
    try:
        try:
            launcher = _launch(out_child, status_child)
        finally:
            _close(out_child, status_child)
        try:
            report = _Exchange(launcher, order, ended.output, out, status).run()
        finally:
            _end(launcher)
    finally:
        _close(out, status)
        ended.seconds = time.monotonic() - started
    for name, value in report.items():
        setattr(ended, name, value)
    return ended


def _launch(out: int, status: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        _command(status),
        stdin=subprocess.PIPE,
        stdout=out,
        stderr=out,
        pass_fds=(status,),
        env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"},
        cwd="/",
    )


class _Exchange:
    """The pipes of one launcher, until it has reported."""

    def __init__(
        self, launcher: subprocess.Popen[bytes], order: Order, output: HeadAndTail, out: int, status: int
    ) -> None:
        self._launcher, self._order, self._output = launcher, order, output
        self._out, self._status = out, status
        self._most = max(64 << 20, _FLOOD * order.limits.output)
        self._deadline = time.monotonic() + order.limits.timeout + _GRACE
        self._report = b""
        self._flooded = False

    def run(self) -> dict[str, Any]:
        """The launcher's report, or one about its end."""
        assert self._launcher.stdin is not None
        with suppress(BrokenPipeError):
            self._launcher.stdin.write(self._order.to_bytes())
            self._launcher.stdin.flush()
        with selectors.DefaultSelector() as selector:
            for source in (self._out, self._status):
                os.set_blocking(source, False)
                selector.register(source, selectors.EVENT_READ)
            while selector.get_map() and (left := self._deadline - time.monotonic()) > 0:
                for key, _ in selector.select(left):
                    if not self._take(key.fd):
                        selector.unregister(key.fd)
        if self._report:
            report: dict[str, Any] = json.loads(self._report)
            return report | ({"ended_by": "output"} if self._flooded else {})
        late = time.monotonic() >= self._deadline
        return {"exit_code": 137, "ended_by": "timeout" if late else "signal", "error": "the launcher was killed"}

    def _take(self, source: int) -> bool:
        """What a pipe holds; False at its end."""
        try:
            chunk = os.read(source, 1 << 16)
        except BlockingIOError:
            return True
        if source == self._status:
            self._report += chunk
            if not chunk:  # the launcher is gone, and with it every process that it knew
                self._deadline = min(self._deadline, time.monotonic() + _AFTERWARDS)
            return bool(chunk)
        self._output.add(chunk)
        if self._output.total > self._most and not self._flooded:
            self._flooded = True
            assert self._launcher.stdin is not None
            self._launcher.stdin.close()
        return bool(chunk)


def _command(status: int) -> list[str]:
    """The launcher without site-packages: it needs the standard library and this package, and starts at once."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); sys.dont_write_bytecode = True; "
        "from dovetail.agent.sandbox.launch import main; main(int(sys.argv[2]))"
    )
    above = Path(dovetail.__file__).parent.parent
    return [sys.executable, "-I", "-S", "-c", code, str(above), str(status)]


def _end(launcher: subprocess.Popen[bytes]) -> None:
    """Let the launcher end everything, or end it."""
    assert launcher.stdin is not None
    with suppress(BrokenPipeError):
        launcher.stdin.close()
    try:
        launcher.wait(_GRACE)
    except subprocess.TimeoutExpired:
        launcher.kill()
        launcher.wait()


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        with suppress(OSError):
            os.close(descriptor)
