"""``dovetail serve`` as a child process: started, waited for until it is ready, stopped. Knows no model and no endpoint but /ready."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import httpx

from dovetail.serve.config.server import SETTINGS, ServerConfig
from dovetail.serve.config.sources import ENVIRONMENT_PREFIX
from dovetail.serve.errors import EngineError

Progress = Callable[[float, str], None]
_START_TIMEOUT_S = 600.0
_STOP_S = 45.0


@dataclass(frozen=True)
class ServerHandle:
    """A server that runs in a process of its own."""

    url: str
    process: subprocess.Popen[bytes]

    def wait(self) -> int:
        """Block until the server ends; returns its exit status."""
        return self.process.wait()

    def stop(self) -> None:
        """End the server and everything it started."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def start_server_process(config: ServerConfig, on_progress: Progress) -> ServerHandle:
    """Start ``dovetail serve`` as a child and wait until it is ready. Raises EngineError with its output when it is not."""
    port = config.port or _free_port(config.host)
    command: Sequence[str] = [sys.executable, "-m", "dovetail.serve.cli", "serve", *_flags(config, port)]
    # All settings are told as flags: what the environment says has been read already, and may have been overruled.
    ours = {"DOVETAIL_CONFIG", *(f"{ENVIRONMENT_PREFIX}{each.name.upper()}" for each in SETTINGS)}
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, env=environment)
    url = f"http://{config.host}:{port}"
    handle = ServerHandle(url, process)
    deadline = time.monotonic() + _START_TIMEOUT_S
    on_progress(0.0, "starting the server")
    ready = False
    try:
        with httpx.Client(timeout=2, trust_env=False) as client:
            while not ready and time.monotonic() < deadline:
                if process.poll() is not None:
                    status = process.returncode
                    raise EngineError(f"the server ended with status {status} while starting; its message is above")
                with contextlib.suppress(httpx.TransportError):
                    ready = client.get(f"{url}/ready").status_code == 200
                time.sleep(0.05)
    finally:
        if not ready:
            handle.stop()
    if not ready:
        raise EngineError(f"the server was not ready within {_START_TIMEOUT_S:.0f} s")
    on_progress(1.0, "ready")
    return handle


def _flags(config: ServerConfig, port: int) -> list[str]:
    flags = [str(config.model)] if config.model is not None else []
    values = {**dataclasses.asdict(config), "port": port}
    for key, value in values.items():
        if key == "model" or value is None or value is False:
            continue
        flag = f"--{key.replace('_', '-')}"
        if value is True:
            flags.append(flag)
        else:
            flags += [part for each in (value if isinstance(value, tuple) else (value,)) for part in (flag, str(each))]
    return flags


def _free_port(host: str) -> int:
    with contextlib.closing(socket.socket()) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
