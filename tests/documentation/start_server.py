"""``dovetail serve`` as a page has it, in the background: returns when the server is ready, or with its message when it is not."""

from __future__ import annotations

import os
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path


def main() -> int:
    """Start it in place of the one before, at the reader's port unless the page names another."""
    arguments = sys.argv[1:]
    folder, port = Path(os.environ["READER_FOLDER"]), os.environ["READER_PORT"]
    if "--port" in arguments:
        port = arguments[arguments.index("--port") + 1]
    else:
        arguments += ["--port", port]
    state = folder / f"server-{port}"
    if state.exists():
        _stop(int(state.read_text()))
    log = folder / f"log-{port}"
    with log.open("wb") as out:
        command = [sys.executable, "-m", "dovetail.serve.cli", "serve", *arguments]
        server = subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True
        )
    state.write_text(str(server.pid))
    for _ in range(2400):
        if server.poll() is not None:
            state.unlink()
            print(log.read_text())
            return server.returncode or 1
        if _ready(port, secure="--tls-cert" in arguments):
            return 0
        time.sleep(0.1)
    return 1


def _ready(port: str, *, secure: bool) -> bool:
    unchecked = ssl.create_default_context()
    unchecked.check_hostname, unchecked.verify_mode = False, ssl.CERT_NONE
    url = f"{'https' if secure else 'http'}://127.0.0.1:{port}/ready"
    try:
        with urllib.request.urlopen(url, timeout=2, context=unchecked if secure else None) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _stop(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGTERM)
    except ProcessLookupError:
        return
    stat = Path(f"/proc/{pid}/stat")
    for _ in range(300):
        if not stat.exists() or stat.read_text().rsplit(")", 1)[1].split()[0] == "Z":
            return
        time.sleep(0.1)
    os.killpg(pid, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
