"""Two servers and a browser: ``dovetail serve`` with the embedded model, open; and a scripted one that asks for keys."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from e2e.browser.install import CACHE, browser

from dovetail.serve.govern.keys.table import create_key
from dovetail.serve.govern.principal import Scopes
from dovetail.serve.govern.store.database import Database

HERE = Path(__file__).parent
SECONDS = 120
AXE = CACHE / "node_modules" / "axe-core" / "axe.min.js"
SCREENSHOTS = CACHE / "screenshots"
WIDE, NARROW = {"width": 1440, "height": 900}, {"width": 390, "height": 844}


@dataclass(frozen=True)
class Server:
    """A running server; ``folder`` holds its keys."""

    url: str
    process: subprocess.Popen[bytes]
    folder: Path

    def key(self, name: str, **scopes: Any) -> str:
        """A new key, once the server knows it."""
        made = self._keys(lambda session: create_key(session, name, now=time.time(), scopes=Scopes(**scopes)))
        deadline = time.monotonic() + 30
        while httpx.get(f"{self.url}/v1/models", headers={"x-api-key": made[1]}, trust_env=False).status_code != 200:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        return str(made[1])

    def expire(self, name: str) -> None:
        """Let the keys of this name have ended a minute ago."""

        def work(session: Any) -> None:
            session.execute("UPDATE api_keys SET expires = ? WHERE name = ?", time.time() - 60, name)
            session.execute("UPDATE changes SET version = version + 1 WHERE what = 'api_keys'")

        self._keys(work)

    def _keys(self, work: Callable[[Any], Any]) -> Any:
        database = Database(str(self.folder / "keys.sqlite"))
        try:
            return database.call(work)
        finally:
            database.close()


@dataclass
class Tab:
    """A page, and what must not happen in it: errors, and requests to anybody else."""

    page: Any
    server: Server
    errors: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def open(self, view: str = "", key: str | None = None) -> Any:
        """Show a view, signed in with ``key``."""
        if key is not None:
            self.page.add_init_script(f"sessionStorage.setItem('dovetail.key', {key!r})")
        self.page.goto(f"{self.server.url}/{f'#/{view}' if view else ''}")
        return self.page

    def foreign(self) -> list[str]:
        """Requests to other hosts."""
        return [url for url in self.asked if not url.startswith(self.server.url)]


@contextmanager
def serving(folder: Path, command: Callable[[int], list[str]]) -> Iterator[Server]:
    """A server process on a free port, until it is no longer needed."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    url, log = f"http://127.0.0.1:{port}", folder / "server.log"
    with log.open("wb") as sink:
        process = subprocess.Popen(command(port), stdout=sink, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + SECONDS
        while not is_ready(url):
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield Server(url, process, folder)
    finally:
        process.terminate()
        process.wait(60)


def is_ready(url: str) -> bool:
    """Whether a server would answer requests."""
    try:
        return httpx.get(f"{url}/ready", timeout=5, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The embedded model, asking nobody for a key."""
    command = [sys.executable, "-m", "dovetail.serve.cli", "serve"]
    with serving(tmp_path_factory.mktemp("real"), lambda port: [*command, "--port", str(port)]) as server:
        yield server


@pytest.fixture(scope="session")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Keys and an audit log; an engine that changes every line."""
    folder = tmp_path_factory.mktemp("keyed")
    script = str(HERE / "scripted_console.py")
    with serving(folder, lambda port: [sys.executable, script, str(port), str(folder)]) as server:
        yield server


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """The system's browser, without a window."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="run make test-browser")
    path = browser()
    if path is None or not AXE.exists():
        pytest.skip("Chromium or axe-core is not there: run make test-browser")
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def tab(chromium: Any) -> Iterator[Callable[..., Tab]]:
    """Makes tabs; at the end none of them may have had an error or asked anybody else."""
    made: list[Tab] = []
    contexts: list[Any] = []

    def make(server: Server, *, viewport: dict[str, int] = WIDE, dark: bool = False) -> Tab:
        context = chromium.new_context(viewport=viewport, color_scheme="dark" if dark else "light")
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        found = Tab(page, server)
        page.on("pageerror", lambda error: found.errors.append(str(error)))
        page.on("console", lambda said: found.errors.append(said.text) if "Content Security" in said.text else None)
        page.on("request", lambda request: found.asked.append(request.url))
        made.append(found)
        return found

    yield make
    for context in contexts:
        context.close()
    for each in made:
        assert not each.errors
        assert not each.foreign()
