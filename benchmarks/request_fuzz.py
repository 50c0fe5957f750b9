"""Sends a real server requests that are wrong, huge, deep, hostile or no HTTP at all, over many connections; asks it plain things meanwhile.

    python benchmarks/request_fuzz.py --requests 100000 --connections 16

The server is ``dovetail serve`` with a tiny random model, keys, an audit log, a store and an administrators' socket. Found is: a 5xx
that is not declared overload, an answer that takes longer than ``--seconds`` or that is not whole, a refusal without a reason, a plain
request that has to wait longer than ``--patience`` or gets no answer, a server or engine that dies, memory beyond ``--mib``. Every request
is made again from its number: ``--only N``. The last line is one JSON object; the status says whether anything was found.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from request_client import Answer, Connection, NoAnswer
from request_wire import Known, Wire, plain, wire

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from tiny import write_tiny_checkpoint

from dovetail.models.random_checkpoint import MARKER_TOKENS

PROBE = {"prompt": "def", "max_tokens": 2}
FIM_TOKENS = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|file_sep|>")


@dataclass
class Found:
    """What was found so far."""

    statuses: Counter[int] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    faults: list[dict[str, Any]] = field(default_factory=list)
    slowest: list[tuple[float, int, str]] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    def fault(self, **told: Any) -> None:
        """Keep it, and tell it at once."""
        self.faults.append(told)
        print(json.dumps(told), flush=True)


@dataclass(frozen=True)
class Server:
    """A running server."""

    port: int
    socket: str
    process: subprocess.Popen[bytes]
    known: Known

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def connection(self, admin: bool) -> Connection:
        """A connection to one of its two doors."""
        return Connection(self.socket if admin else None, self.port)


@contextlib.contextmanager
def server(folder: Path) -> Iterator[Server]:
    """The server, ready, with something of every kind to name."""
    dovetail = [sys.executable, "-m", "dovetail.serve.cli"]
    model = write_tiny_checkpoint(folder / "tiny", markers=(*MARKER_TOKENS, *FIM_TOKENS))
    keys, door = str(folder / "keys"), f"{folder}/admin.sock"
    made = subprocess.run(
        [*dovetail, "keys", "create", "fuzz", "--admin", "--keys", keys], capture_output=True, text=True, check=True
    )
    key = next(word for word in made.stdout.split() if word.startswith("dvt_"))
    port = free_port()
    (folder / "adapters").mkdir()
    settings = ["--port", str(port), "--keys", keys, "--admin", f"unix:{door}", "--audit", str(folder / "audit")]
    settings += [
        "--store",
        str(folder / "store"),
        "--max-output-tokens",
        "16",
        "--threads",
        "1",
        "--log-level",
        "error",
    ]
    process = subprocess.Popen([*dovetail, "serve", str(model), *settings])
    try:
        with httpx.Client(
            base_url=f"http://127.0.0.1:{port}", headers={"authorization": f"Bearer {key}"}, timeout=60
        ) as client:
            wait_until_ready(client, process)
            yield Server(port, door, process, Known(key, things(client)))
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()


def free_port() -> int:
    """A port that nobody listens on now."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_ready(client: httpx.Client, process: subprocess.Popen[bytes]) -> None:
    """Return when the server takes requests."""
    while process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            if client.get("/ready").status_code == 200:
                return
        time.sleep(0.1)
    raise SystemExit("the server ended while starting")


def things(client: httpx.Client) -> dict[str, list[str]]:
    """Ids of things that are there, by kind."""
    said = {"max_tokens": 2, "messages": [{"role": "user", "content": "a"}]}
    line = json.dumps({"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": said})
    ids: dict[str, list[str]] = {kind: [] for kind in ("completion", "response", "conversation", "file", "batch")}
    for _ in range(20):
        ids["completion"].append(client.post("/v1/chat/completions", json={**said, "store": True}).json()["id"])
        ids["response"].append(client.post("/v1/responses", json={"input": "a", "max_output_tokens": 2}).json()["id"])
        ids["conversation"].append(client.post("/v1/conversations", json={}).json()["id"])
        file = {"file": ("b.jsonl", line)}
        ids["file"].append(client.post("/v1/files", data={"purpose": "batch"}, files=file).json()["id"])
        body = {"input_file_id": ids["file"][-1], "endpoint": "/v1/chat/completions", "completion_window": "24h"}
        ids["batch"].append(client.post("/v1/batches", json=body).json()["id"])
    return {**ids, "model": [client.get("/v1/models").json()["data"][0]["id"]]}


async def send(target: Server, asked: Wire, connections: dict[bool, Connection], seconds: float) -> Answer | None:
    """The answer; None where nobody waits for it, or the connection of what is no HTTP was closed. Raises NoAnswer."""
    connection = connections.setdefault(asked.admin, target.connection(asked.admin))
    if asked.broken or asked.left:
        connections.pop(asked.admin).close()
        connection = target.connection(asked.admin)
    try:
        return await asyncio.wait_for(
            connection.ask(asked.head, asked.body, leave=asked.left, end=asked.broken), seconds
        )
    except TimeoutError as error:
        raise NoAnswer("time") from error
    except NoAnswer:
        if asked.broken or asked.left:
            return None
        raise
    finally:
        if asked.broken or asked.left or not connection.usable:
            connection.close()
            connections.pop(asked.admin, None)


async def worker(target: Server, numbers: Iterator[int], found: Found, seconds: float) -> None:
    """Sends requests until there are no more of them."""
    connections: dict[bool, Connection] = {}
    for number in numbers:
        asked = wire(number, target.known)
        found.labels[asked.label.split("?")[0]] += 1
        begun = time.monotonic()
        try:
            answer = await send(target, asked, connections, seconds)
        except NoAnswer as error:
            connections.clear()
            found.fault(number=number, label=asked.label, fault=str(error), bytes=len(asked.body))
            continue
        took = time.monotonic() - begun
        found.slowest = sorted([*found.slowest, (took, number, asked.label)], reverse=True)[:10]
        if answer is None:
            continue
        found.statuses[answer.status] += 1
        if fault := answer.fault():
            text = answer.body[:300].decode(errors="replace")
            found.fault(number=number, label=asked.label, fault=fault, status=answer.status, answer=text)
    for connection in connections.values():
        connection.close()


async def probe(target: Server, found: Found, patience: float) -> None:
    """Ask plain things, again and again: others are to be served whatever is sent beside."""
    body = json.dumps(PROBE).encode()
    headers = [("authorization", f"Bearer {target.known.key}"), ("content-type", "application/json")]
    asked = plain("POST", "/v1/completions", list(headers), body)
    while True:
        connection, begun = target.connection(admin=False), time.monotonic()
        try:
            answer = await asyncio.wait_for(connection.ask(asked.head, asked.body), patience * 3)
            if answer.status not in (200, 429, 503):
                found.fault(label="plain request", fault=f"status {answer.status}")
        except (NoAnswer, TimeoutError) as error:
            found.fault(label="plain request", fault=str(error) or "time")
        finally:
            connection.close()
        waited = time.monotonic() - begun
        found.waits.append(waited)
        if waited > patience:
            found.fault(label="plain request", fault=f"waited {waited:.1f} s")
        await asyncio.sleep(0.5)


async def run(target: Server, given: argparse.Namespace) -> Found:
    """All requests, and the plain ones beside."""
    found = Found()
    numbers = iter([given.only] if given.only is not None else range(given.first, given.first + given.requests))
    beside = asyncio.create_task(probe(target, found, given.patience))
    telling = asyncio.create_task(tell(found))
    await asyncio.gather(*(worker(target, numbers, found, given.seconds) for _ in range(given.connections)))
    for task in (beside, telling):
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    return found


async def tell(found: Found) -> None:
    """How far it is, once a minute."""
    while True:
        await asyncio.sleep(60)
        print(f"# {sum(found.labels.values())} requests, {len(found.faults)} faults", file=sys.stderr, flush=True)


def memory_mib(pid: int) -> int:
    """The most that a process has taken so far."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.split("VmHWM:")[1].split()[0]) >> 10


def main() -> int:
    """Parse arguments, run, print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--only", type=int)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--patience", type=float, default=10.0)
    parser.add_argument("--mib", type=int, default=1500)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, server(Path(folder)) as target:
        begun = time.monotonic()
        found = asyncio.run(run(target, given))
        seconds = time.monotonic() - begun
        if target.process.poll() is not None:
            found.fault(label="server", fault=f"ended with status {target.process.returncode}")
            return 1
        metrics = httpx.get(
            f"{target.url}/metrics", headers={"authorization": f"Bearer {target.known.key}"}, timeout=60
        ).text
        restarts = next(
            (line.split()[-1] for line in metrics.splitlines() if "engine_restarts" in line and line[0] != "#"), "0"
        )
        if float(restarts):
            found.fault(label="engine", fault=f"died {restarts} times")
        peak = memory_mib(target.process.pid)
        if peak > given.mib:
            found.fault(label="server", fault=f"took {peak} MiB")
    for took, number, label in found.slowest[:5]:
        print(f"{took:.2f} s: {label}, --only {number}")
    waits = sorted(found.waits)
    told = {
        "benchmark": "request_fuzz",
        "requests": sum(found.labels.values()),
        "first": given.first,
        "seconds": round(seconds, 1),
        "per_second": round(sum(found.labels.values()) / seconds, 1),
        "statuses": dict(sorted(found.statuses.items())),
        "faults": len(found.faults),
        "slowest_s": round(found.slowest[0][0], 2) if found.slowest else 0.0,
        "plain_requests": len(waits),
        "plain_median_s": round(waits[len(waits) // 2], 3) if waits else 0.0,
        "plain_longest_s": round(waits[-1], 2) if waits else 0.0,
        "peak_mib": peak,
        "cpus": os.cpu_count(),
    }
    print(json.dumps(told))
    return 1 if found.faults else 0


if __name__ == "__main__":
    sys.exit(main())
