"""A governed server as it is started: keys from the command line, administrators on a socket, a refusal where anybody could come in."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from tiny import write_tiny_checkpoint

from dovetail.models.random_checkpoint import MARKER_TOKENS

ASKED = {"prompt": "x = ", "max_tokens": 4}


def dovetail(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dovetail.serve.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)


@dataclass
class Server:
    """A running server, its database of keys and the socket of its administrators."""

    url: str
    keys: str
    admin: Path

    def ask(self, key: str) -> httpx.Response:
        return httpx.post(f"{self.url}/v1/completions", json=ASKED, headers={"x-api-key": key}, timeout=60)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose directory holds code of its own, for those who run that."""
    model = write_tiny_checkpoint(tmp_path_factory.mktemp("model") / "tiny-random", markers=MARKER_TOKENS)
    config = json.loads((model / "config.json").read_text())
    names = {"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model", "AutoTokenizer": "own.Tokenizer"}
    (model / "config.json").write_text(json.dumps({**config, "auto_map": names, "trust_remote_code": True}))
    for name in ("own.py", "__init__.py"):
        (model / name).write_text(f"open({str(model / 'ran')!r}, 'w')\n")
    return model


@pytest.fixture(scope="module")
def server(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("g")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = Server(f"http://127.0.0.1:{port}", str(folder / "keys"), folder / "admin")
    arguments = [str(checkpoint), "--port", str(port), "--threads", "1", "--keys", server.keys]
    command = [sys.executable, "-m", "dovetail.serve.cli", "serve", *arguments, "--admin", f"unix:{server.admin}"]
    process = subprocess.Popen(command, env={**os.environ, "NO_COLOR": "1"})
    try:
        eventually(lambda: is_ready(server.url))
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/ready").status_code == 200
    except httpx.TransportError:
        return False


def eventually(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def test_a_key_works_at_once_and_until_it_is_revoked(server: Server) -> None:
    assert server.ask("anything").status_code == 401
    made = dovetail("keys", "create", "ci", "--keys", server.keys, "--requests-per-minute", "1000")
    key = made.stdout.strip()
    eventually(lambda: server.ask(key).status_code == 200, 5)
    assert dovetail("keys", "revoke", key.split("_")[1], "--keys", server.keys).returncode == 0
    eventually(lambda: server.ask(key).status_code == 401, 5)
    report = dovetail("usage", "--keys", server.keys, "--csv").stdout
    eventually(lambda: ",ci," in dovetail("usage", "--keys", server.keys, "--csv").stdout, 10)
    assert report.startswith("key,name,requests,")


def test_administrators_on_their_socket(server: Server) -> None:
    transport = httpx.HTTPTransport(uds=str(server.admin))
    with httpx.Client(transport=transport, base_url="http://admin", timeout=60) as admin:
        wrong = admin.post("/keys", json={"name": "x", "quota": {"streams": 0}})
        assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "quota")
        made = admin.post("/keys", json={"name": "team", "quota": {"streams": 2}, "scopes": {"endpoints": ["/v1/*"]}})
        assert made.status_code == 201
        key = made.json()["key"]
        eventually(lambda: server.ask(key).status_code == 200, 5)
        turned = admin.post(f"/keys/{made.json()['id']}/rotate", json={"grace_seconds": 0}).json()["key"]
        eventually(lambda: server.ask(turned).status_code == 200, 5)
        assert server.ask(key).status_code == 401
        assert key not in admin.get("/keys").text
        assert admin.get("/usage", params={"by": "endpoint"}).json()["usage"][0]["what"] == "/v1/completions"
        assert admin.delete(f"/keys/{made.json()['id']}").json()["standing"] == "revoked"
        eventually(lambda: server.ask(turned).status_code == 401, 5)
        assert "dovetail_requests_total" in admin.get("/metrics").text
        assert admin.delete("/keys/none").status_code == 404
        assert admin.get("/usage", params={"by": "colour"}).status_code == 400


def test_code_in_the_models_directory_is_not_run(server: Server, checkpoint: Path) -> None:
    assert is_ready(server.url)
    assert (checkpoint / "own.py").exists()
    assert not (checkpoint / "ran").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--host", "0.0.0.0"], "dovetail keys create NAME --keys FILE"),
        (["--admin", "127.0.0.1:0"], "Administrators need keys on a port"),
        (["--tls-cert", "cert.pem"], "TLS needs tls_cert (--tls-cert) and tls_key (--tls-key)"),
        (["--admin", "somewhere"], "HOST:PORT or unix:PATH"),
        (["--access", "none.toml"], "cannot be read"),
        (["--keys", "/no/such/folder/keys"], "cannot be opened"),
    ],
)
def test_what_does_not_start(checkpoint: Path, arguments: list[str], message: str) -> None:
    result = dovetail("serve", str(checkpoint), "--port", "0", *arguments)
    assert result.returncode in (1, 2)
    assert message in result.stderr
    assert "Traceback" not in result.stderr
