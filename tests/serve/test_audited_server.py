"""A server with an audit log as it is started, killed, started again and ended; its log checked with the commands."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from tiny import write_tiny_checkpoint

from dovetail.models.random_checkpoint import MARKER_TOKENS

SECRET = "sk-" + "Zz09" * 10


def dovetail(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dovetail.serve.cli", *arguments]
    env = {**os.environ, **environ}
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=100, env=env)


def eventually(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        assert process.poll() is None, "the server ended"
        time.sleep(0.05)


def is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/ready").status_code == 200
    except httpx.TransportError:
        return False


def start(folder: Path, checkpoint: Path, port: int) -> subprocess.Popen[bytes]:
    arguments = ["serve", str(checkpoint), "--port", str(port), "--threads", "1", "--admin", f"unix:{folder / 'admin'}"]
    arguments += ["--keys", str(folder / "keys"), "--audit", str(folder / "log"), "--audit-text", "full"]
    arguments += ["--require-signature", str(folder / "public.pem")]
    process = subprocess.Popen([sys.executable, "-m", "dovetail.serve.cli", *arguments])
    eventually(lambda: is_ready(f"http://127.0.0.1:{port}"), process)
    return process


@pytest.fixture
def signed(tmp_path: Path) -> Path:
    checkpoint = write_tiny_checkpoint(tmp_path / "tiny-random", markers=MARKER_TOKENS)
    key = ec.generate_private_key(ec.SECP256R1())
    private, public = tmp_path / "private.pem", tmp_path / "public.pem"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    assert dovetail("verify", str(checkpoint), "--sign", str(private)).returncode == 0
    return checkpoint


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_killed_and_started_again(tmp_path: Path, signed: Path, free_port: int) -> None:
    url, log = f"http://127.0.0.1:{free_port}", tmp_path / "log"
    made = dovetail("keys", "create", "ci", "--keys", str(tmp_path / "keys"), DOVETAIL_AUDIT=str(log))
    key = made.stdout.strip()
    first = start(tmp_path, signed, free_port)
    asked = {"prompt": f"key = '{SECRET}'", "max_tokens": 4}
    assert httpx.post(f"{url}/v1/completions", json=asked, headers={"x-api-key": key}, timeout=60).status_code == 200
    assert httpx.post(f"{url}/v1/completions", json=asked, timeout=60).status_code == 401
    transport = httpx.HTTPTransport(uds=str(tmp_path / "admin"))
    with httpx.Client(transport=transport, base_url="http://admin") as admin:
        assert admin.post("/keys", json={"name": "second"}).status_code == 201
    eventually(lambda: "admin" in dovetail("audit", "show", str(log)).stdout, first)
    first.send_signal(signal.SIGKILL)
    first.wait(30)
    assert dovetail("audit", "verify", str(log)).returncode == 0
    second = start(tmp_path, signed, free_port)
    second.send_signal(signal.SIGTERM)
    assert second.wait(60) == 0
    whole = dovetail("audit", "verify", str(log))
    assert whole.returncode == 0 and whole.stdout.startswith("whole:"), whole.stdout
    shown = [json.loads(line) for line in dovetail("audit", "show", str(log), "--json").stdout.splitlines()]
    assert [record["kind"] for record in shown] == ["start", "asked", "answered", "answered", "admin", "start", "stop"]
    assert [record.get("after_crash") for record in shown if record["kind"] == "start"] == [False, True]
    assert shown[1]["prompts"][0]["text"] == "key = '[redacted:api-key]'" and len(shown[1]["model"]) == 64
    assert shown[2]["who"]["name"] == "ci" and shown[3]["decision"] == "refused"
    assert dovetail("audit", "verify", str(log), "--name", "commands").returncode == 0
    written = b"".join(path.read_bytes() for path in log.rglob("*") if path.is_file())
    assert SECRET.encode() not in written and key.encode() not in written
    segment = next(log.glob("audit-*.jsonl"))
    segment.write_bytes(segment.read_bytes().replace(b'"refused"', b'"allowed"'))
    bad = dovetail("audit", "verify", str(log))
    assert bad.returncode == 1 and "line 4 (record 3)" in bad.stdout
    (signed / "tokenizer.json").write_text((signed / "tokenizer.json").read_text() + " ")
    refused = dovetail("serve", str(signed), "--require-signature", str(tmp_path / "public.pem"))
    assert refused.returncode == 1 and "tokenizer.json was changed" in refused.stderr


def test_settings_of_a_log_without_a_log_are_refused() -> None:
    refused = dovetail("serve", "--audit-text", "full")
    assert refused.returncode == 2 and "need audit" in refused.stderr
