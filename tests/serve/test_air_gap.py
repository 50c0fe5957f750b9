"""Without a network: nothing asks for one, the clients' tests pass, and a bundle installs and lands an edit."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import isolated
import pytest

ROOT = Path(__file__).parent.parent.parent
pytestmark = pytest.mark.skipif(not isolated.can_isolate(), reason="this machine makes no network namespaces")


def run_isolated(folder: Path, *command: str, timeout: int = 100, **environ: str) -> tuple[str, dict[str, int]]:
    """What a command said in a namespace of its own, and what it tried to send."""
    out = folder / "attempts.json"
    inside = [*isolated.NAMESPACE, sys.executable, str(ROOT / "tests/isolated.py"), str(out), *command]
    env = {**os.environ, **environ}
    done = subprocess.run(inside, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=timeout)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout, json.loads(out.read_text())


@pytest.mark.parametrize(
    "attempt",
    [
        "import socket; socket.socket().connect_ex(('192.0.2.1', 443))",
        "import socket; socket.socket(socket.AF_INET6).connect_ex(('2001:db8::1', 443))",
        "import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 53))",
    ],
)
def test_an_attempt_is_counted(tmp_path: Path, attempt: str) -> None:
    _, attempts = run_isolated(tmp_path, sys.executable, "-c", attempt)
    assert sum(attempts.values()) == 1


def test_the_server_and_its_clients_ask_for_no_network(tmp_path: Path) -> None:
    told, attempts = run_isolated(tmp_path, sys.executable, "-m", "dovetail.serve.cli", "demo")
    assert "+" in told and "-" in told
    assert attempts == {"no route": 0, "datagrams": 0}


@pytest.mark.slow
def test_the_clients_tests_pass_and_ask_for_no_network(tmp_path: Path) -> None:
    tests = ["tests/serve/test_server.py", "tests/serve/test_governed_server.py", "tests/serve/api"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout", "1200", *tests]
    _, attempts = run_isolated(tmp_path, *command, timeout=2500)
    assert attempts == {"no route": 0, "datagrams": 0}


@pytest.mark.slow
def test_a_bundle_installs_without_a_network_and_lands_an_edit(tmp_path: Path) -> None:
    bundle, target = tmp_path / "bundle", tmp_path / "installed"
    dovetail = [sys.executable, "-m", "dovetail.serve.cli"]
    made = subprocess.run([*dovetail, "bundle", str(bundle)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    assert subprocess.run([*dovetail, "bundle", str(bundle), "--check"], check=False).returncode == 0
    python = str(Path(sys.executable).resolve())
    empty = ["env", "-i", "PATH=/usr/bin:/bin", f"HOME={tmp_path}", f"PYTHON={python}"]
    _, attempts = run_isolated(tmp_path, *empty, "sh", str(bundle / "install.sh"), str(target), timeout=1000)
    assert attempts == {"no route": 0, "datagrams": 0}
    demo = json.loads((ROOT / "examples" / "demo.json").read_text())
    file = tmp_path / demo["file"]
    shutil.copy(ROOT / "examples" / demo["file"], file)
    edit = [str(target / "bin" / "dovetail"), "edit", str(file), "-m", demo["instruction"], "--yes"]
    _, attempts = run_isolated(tmp_path, *empty, *edit, timeout=300)
    assert attempts == {"no route": 0, "datagrams": 0}
    assert file.read_text() != (ROOT / "examples" / demo["file"]).read_text()
