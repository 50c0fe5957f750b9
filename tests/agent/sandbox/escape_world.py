"""A work tree, and round it what a command might want to reach; runs the probes there and looks afterwards.

python escape_world.py BACKEND FOLDER      as a program, for another user: prints the results as JSON
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dovetail.agent.sandbox.backend import Backend
from dovetail.agent.sandbox.bubblewrap import Bubblewrap
from dovetail.agent.sandbox.config import SandboxConfig
from dovetail.agent.sandbox.confined import Confined
from dovetail.agent.sandbox.outcome import Limits, Outcome
from dovetail.agent.sandbox.outer import Outer
from dovetail.agent.sandbox.sandbox import Sandbox

PROBES = Path(__file__).parent / "escape_probes.py"
SECRET, MARKER = "s3cret-of-the-user", "dovetail-victim"
LIMITS = Limits(timeout=60)


def backend(name: str) -> Backend:
    """By name: bubblewrap, landlock, landlock-N (an older Landlock), outer."""
    if name == "bubblewrap":
        return Bubblewrap()
    if name.startswith("landlock"):
        return Confined(int(name[9:]) if name[8:] else None)
    return Outer("a test")


@dataclass
class Seen:
    """What the probes said, and what is different outside after them."""

    probes: dict[str, str]
    damage: list[str]
    outcome: Outcome


def make_tree(root: Path) -> None:
    """A project with a repository, a policy, a nested protected file and installed tools."""
    for folder in ("src", ".git/hooks", ".venv/bin", "settings/deep"):
        (root / folder).mkdir(parents=True)
    (root / ".git/config").write_text("[core]\n\tbare = false\n\trepositoryformatversion = 0\n")
    (root / ".git/HEAD").write_text("ref: refs/heads/main\n")
    (root / ".git/hooks/sample").write_text("#!/bin/sh\n")
    for folder in ("objects", "refs"):
        (root / ".git" / folder).mkdir()
    (root / "dovetail.toml").write_text('[sandbox]\nprotected = ["settings/deep/rules.toml"]\n')
    (root / "settings/deep/rules.toml").write_text("strict = true\n")
    (root / "src/app.py").write_text("print('hello')\n")


def guarded(root: Path) -> dict[str, tuple[int, bytes]]:
    """The protected files: mode and content by path."""
    files = [path for name in (".git", ".venv", "settings") for path in sorted((root / name).rglob("*"))]
    return {
        str(path): (path.lstat().st_mode, path.read_bytes() if path.is_file() else b"")
        for path in [*files, root / "dovetail.toml"]
        if os.path.lexists(path)
    }


def probe(backend_name: str, folder: Path, names: Sequence[str] = ()) -> Seen:
    """Run the probes (all of them, or those named) under a backend in a world below ``folder``."""
    root, outside = folder / "project", folder / "outside"
    make_tree(root)
    outside.mkdir()
    secret_file = outside / "secret.txt"
    secret_file.write_text(SECRET)
    secret_file.chmod(0o640)
    with neighbours(outside) as near, open(outside / MARKER, "w") as inherited:
        os.set_inheritable(inherited.fileno(), True)
        facts = near.facts | {"root": str(root), "outside": str(outside), "secret_file": str(secret_file)}
        before = guarded(root), _look(secret_file), _limits_of(near.process.pid)
        sandbox = Sandbox(SandboxConfig(root, protected=["settings/deep/rules.toml"]), backend(backend_name))
        os.environ["DEPLOY_TOKEN"] = SECRET
        try:
            outcome = sandbox.run(["python3", "-c", PROBES.read_text(), json.dumps(facts), *names], limits=LIMITS)
        finally:
            del os.environ["DEPLOY_TOKEN"]
        damage = [] if before[0] == guarded(root) else ["protected files changed"]
        if before[1] != _look(secret_file) or {each.name for each in outside.iterdir()} != {"secret.txt", MARKER}:
            damage.append("files outside changed")
        if near.process.poll() is not None or before[2] != _limits_of(near.process.pid):
            damage.append("a process outside was reached")
        damage += [f"{name} heard something" for name, ear in near.ears.items() if _heard(ear)]
    start = outcome.output.find("{")
    return Seen(json.loads(outcome.output[start:]) if start >= 0 else {}, damage, outcome)


def _look(file: Path) -> tuple[int, int, int, bytes]:
    if not file.exists():
        return 0, 0, 0, b""
    entry = file.stat()
    return entry.st_mode, entry.st_mtime_ns, entry.st_nlink, file.read_bytes()


def _limits_of(pid: int) -> str:
    if not Path(f"/proc/{pid}/limits").exists():
        return ""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return Path(f"/proc/{pid}/limits").read_text() + fields[16] + str(os.sched_getaffinity(pid))


@dataclass
class Neighbours:
    """What the probes are told, the process they are set on, and what hears them if they get out."""

    facts: dict[str, Any]
    process: subprocess.Popen[bytes]
    ears: dict[str, Callable[[], object]]


@contextmanager
def neighbours(outside: Path) -> Iterator[Neighbours]:
    """A process, servers, shared memory and files of the machine, for as long as the probes run."""
    with ExitStack() as stack:
        victim = subprocess.Popen(
            [sys.executable, "-c", "import time; time.sleep(600)", MARKER], env={"API_KEY": SECRET}, cwd=outside
        )
        stack.callback(victim.wait)
        stack.callback(victim.kill)
        tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp.bind(("127.0.0.1", 0))
        here = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dt-", dir="/tmp")))  # a short path
        unix, abstract = (stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(2))
        datagram = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        unix.bind(str(here / "stream"))
        abstract.bind(f"\0dovetail-{os.getpid()}")
        datagram.bind(str(here / "datagram"))
        for server in (unix, abstract):
            server.listen()
        for server in (tcp, udp, unix, abstract, datagram):
            server.setblocking(False)
        shared = Path("/dev/shm", here.name)
        shared.write_text(SECRET)
        stack.callback(shared.unlink, missing_ok=True)
        facts = {
            "home": str(outside),
            "in_tmp": here.name,
            "secret": SECRET,
            "marker": MARKER,
            "victim": victim.pid,
            "address": ctypes.addressof(ctypes.create_string_buffer(8)),
            "network": os.readlink("/proc/self/ns/net"),
            "host_ipc": os.readlink("/proc/self/ns/ipc"),
            "tcp": tcp.getsockname()[1],
            "udp": udp.getsockname()[1],
            "unix": str(here / "stream"),
            "abstract": f"dovetail-{os.getpid()}",
            "datagram": str(here / "datagram"),
            "shared_key": _segment(stack),
            "in_shm": here.name,
        }
        ears: dict[str, Callable[[], object]] = {"tcp": tcp.accept, "unix": unix.accept, "abstract": abstract.accept}
        ears |= {"udp": lambda: udp.recv(10), "datagram": lambda: datagram.recv(10)}
        yield Neighbours(facts, victim, ears)


def _heard(ear: Callable[[], object]) -> bool:
    with suppress(BlockingIOError):
        heard = ear()
        if isinstance(heard, tuple):
            heard[0].close()
        return True
    return False


def _segment(stack: ExitStack) -> int:
    """The key of a shared memory segment that everybody may attach."""
    libc, key = ctypes.CDLL(None, use_errno=True), 0x0D0E0000 + os.getpid() % 0xFFFF
    segment = libc.shmget(key, 4096, 0o1666)
    assert segment >= 0, os.strerror(ctypes.get_errno())
    stack.callback(libc.shmctl, segment, 0, None)
    return key


if __name__ == "__main__":
    print(json.dumps(asdict(probe(sys.argv[1], Path(sys.argv[2])))))
