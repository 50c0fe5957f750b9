"""Servers and client runs: each client works in a folder of its own, with a home of its own, against one of two servers."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from e2e.correct_model import OLD, PROJECT
from e2e.recipes import ADDRESS, Recipe

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".e2e"
WEIGHTS = ROOT / "models" / "embedded" / "weights"
SECONDS = 600
SOURCE = f"{OLD}\n    return a + b\n"


@dataclass(frozen=True)
class Server:
    """A running server; ``log``: its own output; ``asked``: what its scripted engine noted."""

    url: str
    log: Path
    asked: Path

    def mark(self) -> tuple[int, int]:
        """Where the notes end now."""
        return tuple(path.stat().st_size if path.exists() else 0 for path in (self.log, self.asked))  # type: ignore[return-value]


@dataclass
class Run:
    """What a client did: its exit status, what it printed, the file it was to change, and what the server saw."""

    status: int
    output: str
    source: str
    log: str
    asked: list[dict[str, Any]] = field(default_factory=list)

    def __str__(self) -> str:
        """Everything, for the message of a failed test."""
        notes = "\n".join(json.dumps({key: each[key] for key in ("tools", "results", "said")}) for each in self.asked)
        return f"exit status {self.status}\n--- printed\n{self.output}\n--- calc.py\n{self.source}\n--- server\n{self.log}\n{notes}"


@dataclass(frozen=True)
class Workplace:
    """A home, a project and a place for temporary files for one client."""

    home: Path
    project: Path
    temporary: Path

    @classmethod
    def make(cls, folder: Path) -> Workplace:
        """A git repository with one file in it."""
        place = cls(folder / "home", folder / PROJECT, folder / "temporary")
        for each in (place.home, place.project, place.temporary):
            each.mkdir()
        (place.project / "calc.py").write_text(SOURCE)
        git = ["git", "-c", "user.name=e2e", "-c", "user.email=e2e@localhost"]
        for command in (["init", "-q"], ["add", "calc.py"], ["commit", "-qm", "A calculator"]):
            subprocess.run([*git, *command], cwd=place.project, check=True, capture_output=True)
        return place

    def environment(self) -> dict[str, str]:
        """Nothing of the user's but the language; programs from the cache first."""
        path = os.pathsep.join((str(CACHE / "bin"), str(CACHE / "aider" / "bin"), os.environ["PATH"]))
        # Codex keeps the program of its sandbox at home, and refuses to where home lies among temporary files.
        own = {"HOME": str(self.home), "TMPDIR": str(self.temporary), "PATH": path}
        return {**own, "LANG": "C.UTF-8", "TERM": "dumb", "NO_PROXY": "*", "CI": "1"}

    def run(self, server: Server, command: list[str], seconds: float = SECONDS) -> Run:
        """Run a client to its end, or end it and what it started."""
        log_at, asked_at = server.mark()
        output = self.home.parent / "output.txt"
        with output.open("wb") as sink:
            process = subprocess.Popen(
                command,
                cwd=self.project,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                status = process.wait(seconds)
            except subprocess.TimeoutExpired:
                status = -signal.SIGALRM
            finally:
                with suppress(ProcessLookupError):  # also what it started and left behind
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        noted = server.asked.read_bytes()[asked_at:].decode() if server.asked.exists() else ""
        return Run(
            status,
            output.read_text(errors="replace"),
            (self.project / "calc.py").read_text(),
            server.log.read_bytes()[log_at:].decode(errors="replace"),
            [json.loads(line) for line in noted.splitlines()],
        )

    def follow(self, recipe: Recipe, server: Server, *, command: int = 0) -> Run:
        """Do what a section of the page says: write its files, run one of its commands."""
        for path, text in recipe.files.items():
            file = self.home / path.removeprefix("~/") if path.startswith("~/") else self.project / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text.replace(ADDRESS, server.url))
        return self.run(server, ["bash", "-euc", recipe.commands[command].replace(ADDRESS, server.url)])

    def run_python(self, server: Server, *programs: str) -> Run:
        """Run Python text, joined, among the packages of the SDKs."""
        text = "\n".join(programs).replace(ADDRESS, server.url)
        file = self.home / "program.py"
        file.write_text(text)
        return self.run(server, [str(CACHE / "sdks" / "bin" / "python"), str(file)])


@pytest.fixture
def workplace(tmp_path: Path) -> Workplace:
    return Workplace.make(tmp_path)


@pytest.fixture(scope="session")
def installed() -> Callable[[str], None]:
    """Skips a test whose client is not there."""

    def require(name: str) -> None:
        if not (CACHE / f"{name}.installed").exists():
            pytest.skip(f"{name} is not installed in .e2e: run make test-e2e, or python tests/e2e/install.py")

    return require


@pytest.fixture(scope="session")
def scripted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Our HTTP application before an engine that plays the correct model."""
    folder = tmp_path_factory.mktemp("scripted")
    model = folder / "model"
    shutil.copytree(WEIGHTS, model, symlinks=True)
    shutil.copy(Path(__file__).parent / "template.jinja", model / "chat_template.jinja")
    script = str(Path(__file__).parent / "scripted_server.py")
    with serving(folder, lambda port, asked: [sys.executable, script, str(port), str(model), str(asked)]) as server:
        yield server


@pytest.fixture(scope="session")
def babbling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """``dovetail serve`` with the embedded model, which was never taught to use a tool."""
    flags = ["--model-name", "coder", "--max-output-tokens", "64", "--max-model-len", "65536", "--docs"]
    command = [sys.executable, "-m", "dovetail.serve.cli", "serve", *flags]
    with serving(tmp_path_factory.mktemp("babbling"), lambda port, _: [*command, "--port", str(port)]) as server:
        yield server


@contextmanager
def serving(folder: Path, command: Callable[[int, Path], list[str]]) -> Iterator[Server]:
    """A server process on a free port, until it is no longer needed."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    server = Server(f"http://127.0.0.1:{port}", folder / "server.log", folder / "asked.jsonl")
    with server.log.open("wb") as sink:
        process = subprocess.Popen(command(port, server.asked), stdout=sink, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + SECONDS
        while not is_ready(server.url):
            assert process.poll() is None and time.monotonic() < deadline, server.log.read_text()
            time.sleep(0.1)
        yield server
    finally:
        process.terminate()
        process.wait(60)


def is_ready(url: str) -> bool:
    """Whether a server answers, and would answer requests."""
    try:
        return httpx.get(f"{url}/ready", timeout=5, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False
