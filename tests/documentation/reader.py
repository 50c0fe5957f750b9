"""A reader who follows a page from top to bottom: one folder, one server, each block as it stands but for addresses and places."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

from documentation.blocks import ROOT, Block

EMBEDDED = ROOT / "models" / "embedded" / "weights"
SCENE = Path(__file__).parent / "scene"
ADDRESS = re.compile(r"\b(127\.0\.0\.1|localhost):8000\b")
SECONDS = 300

_ONLY_READ = """#!/bin/sh
# In a quick run `dovetail serve` is only read (test_blocks.py does); make only says what it would do.
if [ "$1" = serve ]; then exit 0; fi
exec "{binary}/dovetail" "$@"
"""
_START = """#!/bin/sh
if [ "$1" = serve ]; then shift; exec "{python}" "{starter}" "$@"; fi
exec "{binary}/dovetail" "$@"
"""
_CURL = """#!/bin/sh
exec "{curl}" --fail-with-body --silent --show-error "$@"
"""
_MAKE = """#!/bin/sh
exec "{make}" --no-print-directory -n -C "{root}" "$@"
"""


class Reader:
    """Runs blocks of one page in order; what one exports and writes, the next one finds.

    Args:
        port: of a server that runs already.
        starts: whether ``dovetail serve`` starts one; from then on that is the page's server.
    """

    def __init__(self, folder: Path, port: int, *, starts: bool) -> None:
        self.home = folder / "home"
        self.work = folder / "work"
        self._folder = folder
        self._port = port
        self._starts = starts
        self._own_port = _free_port()
        shutil.copytree(SCENE, self.work)
        for place in ("home", "var/lib/dovetail", "var/log/dovetail", "run/dovetail"):
            (folder / place).mkdir(parents=True)
        for command in (
            "git init -q -b main .",
            "git add -A",
            "git -c user.name=me -c user.email=me@x commit -qm begin",
        ):
            subprocess.run(command.split(), cwd=self.work, check=True)
        binary = self.work / ".venv" / "bin"
        binary.mkdir(parents=True)
        (self.work / ".git" / "info" / "exclude").write_text(".venv/\n")
        names = {
            "binary": Path(sys.executable).parent,
            "python": sys.executable,
            "starter": Path(__file__).parent / "start_server.py",
            "root": ROOT,
            "curl": shutil.which("curl"),
            "make": shutil.which("make"),
        }
        for name, text in {"dovetail": _START if starts else _ONLY_READ, "curl": _CURL, "make": _MAKE}.items():
            (binary / name).write_text(text.format(**names))
            (binary / name).chmod(0o755)
        (folder / "env").write_text("")
        (folder / "cwd").write_text(str(self.work))
        self._variables = {
            "PATH": f"{binary}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(self.home),
            "LC_ALL": "C.UTF-8",
            "COLUMNS": "120",
            "OMP_NUM_THREADS": "1",
            "READER_FOLDER": str(folder),
            "READER_PORT": str(self._own_port),
        }
        (self.home / ".gitconfig").write_text("[user]\n\tname = me\n\temail = me@example.org\n")

    def close(self) -> None:
        """End what ``dovetail serve`` has started."""
        for file in self._folder.glob("server-*"):
            pid = int(file.read_text())
            try:
                os.killpg(pid, signal.SIGTERM)
            except ProcessLookupError:
                continue

    def write(self, block: Block) -> None:
        """The block's text as the file that its comment names."""
        path = self.work / block.marks["writes"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self._placed(block.text), encoding="utf-8")

    def run(self, block: Block, before: str = "") -> None:
        """Do what the block says; AssertionError where it ends otherwise than the page says."""
        text = self._placed(before + block.text)
        if block.language == "python":
            done = self._process([sys.executable, "-c", text], self._variables | self._exported())
            assert done.returncode == 0, f"{block.place}\n{done.stdout}"
            return
        commands = text
        if block.language == "console":
            commands = "\n".join(line[2:] for line in text.splitlines() if line.startswith("$ "))
        keep = f'trap \'status=$?; export -p | grep -v DOVETAIL_SERVER > "{self._folder}/env"; pwd > "{self._folder}/cwd"; exit $status\' EXIT\n'
        script = f'source "{self._folder}/env"; cd "$(cat "{self._folder}/cwd")"; set -euo pipefail\n{keep}{commands}\n'
        done = self._process(["bash", "-c", script], self._variables)
        wanted = [int(each) for each in block.marks.get("exits", "0").split(",")]
        assert done.returncode in wanted, (
            f"{block.place}: status {done.returncode}, not {wanted}\n{commands}\n{done.stdout}"
        )
        if block.language == "console":
            shown = [line for line in text.splitlines() if not line.startswith("$ ") and line.strip()]
            missing = unlike(shown, done.stdout)
            assert missing is None, f"{block.place}: the page shows {missing!r}, and this came:\n{done.stdout}"

    def _process(self, command: list[str], variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
        server = {"DOVETAIL_SERVER": f"http://127.0.0.1:{self._served(command[-1])}"}
        return subprocess.run(
            command,
            cwd=self.work,
            env=variables | server,
            input="y\n" * 20,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    def _exported(self) -> dict[str, str]:
        pairs = re.findall(r'^declare -x (\w+)="(.*)"$', (self._folder / "env").read_text(), re.MULTILINE)
        return dict(pairs)

    def _served(self, text: str = "") -> int:
        """The port of the page's own server, if it has started one, or ``text`` does."""
        own = list(self._folder.glob("server-*")) or (self._starts and "dovetail serve" in text)
        return self._own_port if own else self._port

    def _adapter(self, name: str) -> None:
        """A random adapter of the embedded model."""
        from peft_adapter import write_adapter

        folder = self._folder / "adapters" / name
        if not folder.exists():
            write_adapter(folder, EMBEDDED)

    def _placed(self, text: str) -> str:
        """Addresses and places of the page as they are here."""
        port = self._served(text)
        text = ADDRESS.sub(f"127.0.0.1:{port}", text)
        model = self._folder / "model"
        text, count = re.subn(r"(/path/to/(model|Qwen[\w.-]*)|/models/[\w.-]+|\bMODEL_DIR\b)", str(model), text)
        if count and not model.exists():
            shutil.copytree(EMBEDDED, model)
        for name in re.findall(r"/adapters/(\w+)", text) or re.findall(r'"lora_path": "(\w+)"', text):
            self._adapter(name)
        text = re.sub(r"/adapters\b", str(self._folder / "adapters"), text)
        text = re.sub(r"/path/to/repository|/home/me/project", str(self.work), text)
        return re.sub(r"/(var|run|backup|srv)/(?=[a-z])", rf"{self._folder}/\1/", text)


def unlike(shown: list[str], came: str) -> str | None:
    """The first line of a page that did not come, in order; ``...`` in it stands for anything."""
    lines = came.splitlines()
    at = 0
    for line in shown:
        if line.strip() == "...":
            continue
        pattern = re.compile(".*".join(re.escape(part) for part in line.strip().split("...")))
        while at < len(lines) and not pattern.fullmatch(lines[at].strip()):
            at += 1
        if at == len(lines):
            return line
        at += 1
    return None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
