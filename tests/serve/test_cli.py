"""The command line, with the wiring and the server replaced."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from dovetail.serve import cli
from dovetail.serve.config.server import ServerConfig
from dovetail.serve.errors import ModelError

BEFORE, AFTER = "x = 1\n", "y = 1\n"
PATCH = "--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-x = 1\n+y = 1\n"
REPORT = {
    "truncated": False,
    "origins": {"forced": 5, "sampled": 2},
    "drafted": 4,
    "accepted": 3,
    "rollbacks": 0,
    "syntax": {"a.py": "compiler"},
}


@dataclass
class Stub:
    """Answers like a server whose every edit renames x to y in the files it is given."""

    url: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keys: set[str | None] = field(default_factory=set)
    change: bool = True

    def answer(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if path == "/ready":
            return 200, {"server": "dovetail"}
        if path.startswith("/v1/system-card"):
            return 200, {"object": "system_card", "asked": path}
        if path == "/v1/models":
            return 200, {"data": [{"id": "tiny", "context_length": 64}]}
        self.bodies.append(body)
        if body["instruction"] == "fail":
            return 400, {"error": {"message": "cannot", "param": "instruction"}}
        files = [{"path": each["path"], "content": AFTER} for each in body["files"]] if self.change else []
        tokens = [{"text": "a.py\n", "origin": "forced"}, {"text": "y", "origin": "sampled"}]
        return 200, {"files": files, "patch": PATCH if self.change else "", "constraint": REPORT, "tokens": tokens}


@pytest.fixture
def stub() -> Iterator[Stub]:
    stub = Stub()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            stub.keys.add(self.headers.get("authorization"))
            length = int(self.headers.get("content-length", 0))
            status, value = stub.answer(self.path, json.loads(self.rfile.read(length) or b"{}"))
            raw = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    stub.url = f"http://127.0.0.1:{server.server_port}"
    yield stub
    server.shutdown()
    server.server_close()
    thread.join()


@dataclass
class Wiring:
    """Stands in for serve/wiring.py and serve/server_process.py."""

    served: list[ServerConfig] = field(default_factory=list)
    started: list[ServerConfig] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    failure: Exception | None = None


@pytest.fixture
def wiring(monkeypatch: pytest.MonkeyPatch, stub: Stub) -> Wiring:
    wiring = Wiring()

    def run_server(config: ServerConfig, on_progress: Callable[[float, str], None]) -> None:
        wiring.served.append(config)
        on_progress(0.5, "loading")
        on_progress(1.0, "loading")
        if wiring.failure is not None:
            raise wiring.failure

    def start_server_process(config: ServerConfig, on_progress: Callable[[float, str], None]) -> object:
        wiring.started.append(config)
        on_progress(1.0, "ready")
        return types.SimpleNamespace(
            url=stub.url, stop=lambda: wiring.ended.append("stop"), wait=lambda: wiring.ended.append("wait")
        )

    for name, function in (("wiring", run_server), ("server_process", start_server_process)):
        module = types.ModuleType(f"dovetail.serve.{name}")
        setattr(module, function.__name__, function)
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return wiring


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    """Runs ``main`` as the console script does; the exit code is in the result."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DOVETAIL_SERVER", raising=False)
    monkeypatch.setattr(cli, "DEFAULT_SERVER", "http://127.0.0.1:9")
    (tmp_path / "a.py").write_text(BEFORE)

    def run(*arguments: str, answer: str | None = None) -> Result:
        monkeypatch.setattr(sys, "argv", ["dovetail", *arguments])
        script = typer.Typer(add_completion=False)
        script.callback(invoke_without_command=True)(cli.main)
        return CliRunner().invoke(script, [], input=answer)

    return run


def test_an_edit_is_shown_confirmed_and_written(run: Callable[..., Result], stub: Stub, tmp_path: Path) -> None:
    result = run("edit", "a.py", "-m", "rename", "--server", stub.url, answer="y\n")
    assert result.exit_code == 0, result.output
    assert "+y = 1" in result.output
    assert (tmp_path / "a.py").read_text() == AFTER
    assert stub.bodies == [{"instruction": "rename", "files": [{"path": "a.py", "content": BEFORE}]}]


def test_the_key_of_the_environment_is_sent(
    run: Callable[..., Result], stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOVETAIL_API_KEY", "dvt_a_b")
    assert run("edit", "a.py", "-m", "rename", "--server", stub.url, "--yes").exit_code == 0
    assert "Bearer dvt_a_b" in stub.keys


def test_libraries_are_told_to_stay_offline(run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK")
    for name in names:
        monkeypatch.setenv(name, "0")
        monkeypatch.delenv(name)
    run("--version")
    assert {os.environ.get(name) for name in names} == {"1"}


@pytest.mark.parametrize("answer", ["n\n", ""])
def test_declined(run: Callable[..., Result], stub: Stub, tmp_path: Path, answer: str) -> None:
    result = run("edit", "a.py", "-m", "rename", "--server", stub.url, answer=answer)
    assert result.exit_code == 1
    assert "Nothing was written" in result.output
    assert (tmp_path / "a.py").read_text() == BEFORE


def test_yes_writes_without_asking(run: Callable[..., Result], stub: Stub, tmp_path: Path) -> None:
    result = run("edit", "a.py", "-m", "rename", "--server", stub.url, "--yes", "--max-tokens", "9", "--model", "m")
    assert result.exit_code == 0
    assert (tmp_path / "a.py").read_text() == AFTER
    assert (stub.bodies[0]["max_tokens"], stub.bodies[0]["model"]) == (9, "m")


def test_json_is_the_answer_and_nothing_else(run: Callable[..., Result], stub: Stub, tmp_path: Path) -> None:
    result = run("edit", "a.py", "-m", "rename", "--server", stub.url, "--json")
    assert json.loads(result.stdout)["patch"] == PATCH
    assert (tmp_path / "a.py").read_text() == BEFORE
    result = run("edit", "a.py", "-m", "rename", "--server", stub.url, "--json", "--yes")
    assert json.loads(result.stdout)["files"][0]["content"] == AFTER
    assert (tmp_path / "a.py").read_text() == AFTER


def test_nothing_to_change(run: Callable[..., Result], stub: Stub) -> None:
    stub.change = False
    result = run("edit", "a.py", "-m", "rename", "--server", stub.url)
    assert (result.exit_code, "left the files as they are" in result.output) == (0, True)


def test_a_server_is_started_when_none_answers(run: Callable[..., Result], wiring: Wiring, tmp_path: Path) -> None:
    result = run("edit", "a.py", "-m", "rename", "--yes")
    assert result.exit_code == 0, result.output
    assert [config.port for config in wiring.started] == [0]
    assert wiring.ended == ["stop"]
    assert (tmp_path / "a.py").read_text() == AFTER


def test_a_card_comes_from_a_server_started_for_it_where_none_answers(
    run: Callable[..., Result], wiring: Wiring
) -> None:
    result = run("card", "--format", "json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["asked"] == "/v1/system-card?format=json"
    assert ": starting one." in result.stderr
    assert wiring.ended == ["stop"]
    gone = run("card", "--server", "http://127.0.0.1:9")
    assert gone.exit_code == 1
    assert "No server answers at http://127.0.0.1:9" in gone.stderr


def test_exit_codes(run: Callable[..., Result], stub: Stub, tmp_path: Path) -> None:
    gone = run("edit", "a.py", "-m", "x", "--server", "http://127.0.0.1:9")
    assert gone.exit_code == 3
    assert "No server answers at http://127.0.0.1:9. Start one with: dovetail serve" in gone.stderr
    refused = run("edit", "a.py", "-m", "fail", "--server", stub.url)
    assert refused.exit_code == 1
    assert "cannot [instruction]" in refused.stderr
    (tmp_path / "b.bin").write_bytes(b"\0")
    binary = run("edit", "b.bin", "-m", "x", "--server", stub.url)
    assert (binary.exit_code, "binary file" in binary.stderr) == (2, True)
    assert run("edit", "a.py").exit_code == 2
    assert run("nonsense").exit_code == 2


def test_serve_hands_the_configuration_on(run: Callable[..., Result], wiring: Wiring, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.json").write_text("{}")
    result = run("serve", "m", "--port", "0", "--kv-cache-memory", "64MiB", "--any-model-name", "--log-level", "debug")
    assert result.exit_code == 0, result.output
    [config] = wiring.served
    assert (config.model, config.kv_cache_memory, config.any_model_name) == (Path("m"), 2**26, True)
    assert (config.log_level, config.docs, config.block_size) == ("debug", False, 16)
    assert (config.model_alias, config.store) == ((), None)
    aliased = run("serve", "m", "--port", "0", "--model-alias", "gpt-5", "--model-alias", "claude-*", "--store", "s.db")
    assert aliased.exit_code == 0, aliased.output
    assert (wiring.served[1].model_alias, wiring.served[1].store) == (("gpt-5", "claude-*"), "s.db")


def test_what_serve_refuses_at_once(run: Callable[..., Result], wiring: Wiring) -> None:
    missing = run("serve", "nowhere")
    assert missing.exit_code == 2
    assert "nowhere is no model directory" in missing.stderr
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        taken = run("serve", "--port", str(port))
    assert taken.exit_code == 2
    assert f"Port {port} on 127.0.0.1 is taken" in taken.stderr
    assert f"--port {port + 1}" in taken.stderr
    assert "no address of this machine" in run("serve", "--host", "no.such.host.invalid").stderr
    assert "not a size" in run("serve", "--kv-cache-memory", "big").stderr
    assert wiring.served == []


def test_a_model_that_cannot_be_served(run: Callable[..., Result], wiring: Wiring) -> None:
    wiring.failure = ModelError("weights are truncated")
    result = run("serve", "--port", "0")
    assert (result.exit_code, result.stderr.strip().endswith("dovetail: weights are truncated")) == (1, True)


def test_models(run: Callable[..., Result], stub: Stub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert "tiny" in run("models", "--server", stub.url).output
    embedded = types.ModuleType("dovetail.models.embedded")
    embedded.WEIGHTS = tmp_path / "none"  # type: ignore[attr-defined]
    embedded.NAME = "embedded"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "dovetail.models.embedded", embedded)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.json").write_text('{"architectures": ["Qwen3ForCausalLM"]}')
    (tmp_path / "m" / "model.safetensors").write_bytes(b"x" * 2**20)
    listed = run("models", "m").output
    assert "Qwen3ForCausalLM" in listed
    assert "1 MiB" in listed


@pytest.mark.parametrize(("stay", "ended"), [(False, ["stop"]), (True, ["wait", "stop"])])
def test_demo(run: Callable[..., Result], wiring: Wiring, stub: Stub, stay: bool, ended: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    result = run("demo", *(["--stay", "--port", str(port)] if stay else []))
    assert result.exit_code == 0, result.output
    assert "+y = 1" in result.output
    assert "nothing else was allowed" in result.output
    assert "curl " in result.output
    assert "openai.OpenAI(" in result.output
    assert wiring.ended == ended
    assert wiring.started[0].port == (port if stay else 0)
    assert stub.bodies[0]["trace"] is True


def test_version_is_quick_to_say() -> None:
    code = "import sys; from dovetail.serve.cli import main; sys.argv = ['dovetail', '--version']\n"
    code += "try: main()\nexcept SystemExit: pass\n"
    code += "print([name for name in ('torch', 'fastapi', 'httpx', 'transformers') if name in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["dovetail", "0.1.0", "[]"]


def test_a_server_of_its_own_is_spoken_to_in_plain_http(
    run: Callable[..., Result], wiring: Wiring, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("TLS_CERT", "c"), ("TLS_KEY", "k"), ("TLS_CLIENT_CA", "ca"), ("ADMIN", "unix:/a")):
        monkeypatch.setenv(f"DOVETAIL_{name}", value)
    assert run("edit", "a.py", "-m", "rename", "--yes").exit_code == 0
    [config] = wiring.started
    assert (config.tls_cert, config.tls_key, config.tls_client_ca, config.admin) == (None, None, None, None)
