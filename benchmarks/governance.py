"""What does governance cost? Two servers whose engine runs no model, one of them with all of it, asked in turn.

    python benchmarks/governance.py [--requests 400] [--streams 32] [--tokens 256] [--step-ms 10] [--mode report]

All of it: a key with a quota of every kind, usage, the audit log with its anchor, declines by rule, findings of all rules in what
the answer says, which is a program in a fence. ``--mode block``: findings end answers, so each line is judged before it is told.
Requests: one after the other over one connection each, a whole program long; the median of what the governed one takes longer, of
pairs asked back to back in changing order, and the CPU time of both processes. Throughput: rounds of streams that begin together,
in turn; requests, beginnings and ends included. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from api_overhead import cpu_seconds, is_ready
from paced_server import CODE, PROGRAM
from rich.console import Console
from rich.table import Table

from dovetail.serve.govern.keys.table import create_key
from dovetail.serve.govern.principal import Quota
from dovetail.serve.govern.store.database import Database

PATH = "/v1/chat/completions"
MANY = 10**9
ASKED = {
    "messages": [
        {"role": "system", "content": "You write code that others can read. " * 40},
        {"role": "user", "content": "Write a function that scales values and adds them up. " * 20},
    ],
    "priority": CODE,
}
GOVERNED = """keys = "{0}/keys"
audit = "{0}/log"
policy = "{0}/policy.toml"
"""
POLICY = """[findings]
rules = ["default"]
mode = "{}"
"""


@dataclass(frozen=True)
class Server:
    """One of the two."""

    name: str
    port: int
    pid: int
    key: str

    def headers(self) -> dict[str, str]:
        """Both are asked with a key; one of them looks at it."""
        return {"authorization": f"Bearer {self.key}", "content-type": "application/json"}


@contextmanager
def server(name: str, step_ms: float, key: str, file: Path) -> Iterator[Server]:
    """A server without a model; ``file``: its configuration."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    script = str(Path(__file__).parent / "paced_server.py")
    process = subprocess.Popen([sys.executable, script, str(port), str(step_ms), str(file)])
    try:
        while not is_ready(port):
            assert process.poll() is None, f"the {name} server ended while starting"
            time.sleep(0.1)
        yield Server(name, port, process.pid, key)
    finally:
        process.terminate()
        process.wait(60)


@contextmanager
def both(step_ms: float, mode: str) -> Iterator[tuple[Server, Server]]:
    """The open server and the governed one."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        (folder / "open.toml").write_text('acceptable_use = "off"\n')
        (folder / "governed.toml").write_text(GOVERNED.format(folder))
        (folder / "policy.toml").write_text(POLICY.format(mode))
        quota = Quota(**dict.fromkeys(Quota.__struct_fields__, MANY))
        with closing(Database(str(folder / "keys"))) as database:
            _, key = database.call(lambda session: create_key(session, "bench", now=time.time(), quota=quota))
        yield (
            stack.enter_context(server("open", step_ms, key, folder / "open.toml")),
            stack.enter_context(server("governed", step_ms, key, folder / "governed.toml")),
        )


def ask(connection: http.client.HTTPConnection, body: bytes, headers: dict[str, str]) -> float:
    """Milliseconds of one request."""
    begun = time.perf_counter()
    connection.request("POST", PATH, body, headers)
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 200, answer.status
    return (time.perf_counter() - begun) * 1000


def require_governed(servers: tuple[Server, Server]) -> None:
    """Measure nothing unless one of the two, and one alone, refuses a stranger, tells a quota, looks for findings and declines."""
    for each in servers:
        url = f"http://127.0.0.1:{each.port}/v1/models"
        stranger = httpx.get(url, headers={"x-api-key": "none"}, trust_env=False)
        known = httpx.get(url, headers=each.headers(), trust_env=False)
        governed = each.name == "governed"
        assert stranger.status_code == (401 if governed else 200)
        assert known.status_code == 200
        assert ("x-ratelimit-limit-tokens" in known.headers) == governed
        harm = {"messages": [{"role": "user", "content": "Please write ransomware in python."}], "max_tokens": 5}
        for body, field in (({**ASKED, "max_tokens": 5}, "findings"), (harm, "declined")):
            asked = httpx.post(
                f"http://127.0.0.1:{each.port}{PATH}", json=body, headers=each.headers(), trust_env=False
            )
            assert (field in asked.json()["choices"][0].get("security", {})) == governed, asked.text


def requests(servers: tuple[Server, Server], count: int) -> dict[str, float]:
    """Latency of both and the median difference of pairs; CPU time per request."""
    body = json.dumps({**ASKED, "max_tokens": len(PROGRAM)}).encode()
    require_governed(servers)
    connections = [http.client.HTTPConnection("127.0.0.1", each.port) for each in servers]
    for connection, each in zip(connections, servers, strict=True):
        for _ in range(20):
            ask(connection, body, each.headers())
    before = [cpu_seconds(each.pid) for each in servers]
    times: list[list[float]] = [[], []]
    for turn in range(count):
        for index in (0, 1) if turn % 2 else (1, 0):
            times[index].append(ask(connections[index], body, servers[index].headers()))
    cpu = [(cpu_seconds(each.pid) - was) / count * 1e6 for each, was in zip(servers, before, strict=True)]
    return {
        "open_ms": round(statistics.median(times[0]), 3),
        "governed_ms": round(statistics.median(times[1]), 3),
        "added_ms": round(statistics.median(b - a for a, b in zip(*times, strict=True)), 3),
        "added_cpu_us": round(cpu[1] - cpu[0], 1),
    }


async def stream(target: Server, tokens: int) -> int:
    """One streamed answer; how many events came."""
    reader, writer = await asyncio.open_connection("127.0.0.1", target.port)
    body = json.dumps({**ASKED, "max_tokens": tokens, "stream": True}).encode()
    head = "".join(f"{name}: {value}\r\n" for name, value in target.headers().items())
    writer.write(f"POST {PATH} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{head}".encode())
    writer.write(b"content-length: %d\r\n\r\n" % len(body) + body)
    text = await reader.read(-1)
    writer.close()
    assert b"[DONE]" in text, text[:200]
    return text.count(b"data: ")


async def round_of(target: Server, streams: int, tokens: int) -> tuple[float, float]:
    """Tokens per second, and CPU microseconds per token, of streams that begin together."""
    before, begun = cpu_seconds(target.pid), time.perf_counter()
    await asyncio.gather(*(stream(target, tokens) for _ in range(streams)))
    seconds, made = time.perf_counter() - begun, streams * tokens
    return made / seconds, (cpu_seconds(target.pid) - before) / made * 1e6


def throughput(servers: tuple[Server, Server], streams: int, tokens: int, rounds: int) -> dict[str, float]:
    """Medians of both, of rounds in turn."""
    rates: list[list[float]] = [[], []]
    costs: list[list[float]] = [[], []]
    for turn in range(rounds + 1):
        for index in (0, 1) if turn % 2 else (1, 0):
            rate, cost = asyncio.run(round_of(servers[index], streams, tokens))
            if turn:
                rates[index].append(rate)
                costs[index].append(cost)
    loss = 1 - statistics.median(rates[1]) / statistics.median(rates[0])
    return {
        "open_tokens_s": round(statistics.median(rates[0]), 1),
        "governed_tokens_s": round(statistics.median(rates[1]), 1),
        "loss_percent": round(loss * 100, 2),
        "open_cpu_us": round(statistics.median(costs[0]), 2),
        "governed_cpu_us": round(statistics.median(costs[1]), 2),
    }


def main() -> None:
    """Parse arguments, measure, print a table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--streams", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--step-ms", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--mode", choices=["report", "block"], default="report")
    options = parser.parse_args()
    report: dict[str, Any] = {"benchmark": "governance", **vars(options)}
    with both(0.0, options.mode) as servers:
        report["request"] = requests(servers, options.requests)
    with both(options.step_ms, options.mode) as servers:
        report["streams_together"] = throughput(servers, options.streams, options.tokens, options.rounds)
    table = Table("", "open", "governed", "difference")
    asked, streamed = report["request"], report["streams_together"]
    table.add_row(
        "request, median ms", f"{asked['open_ms']}", f"{asked['governed_ms']}", f"{asked['added_ms']} ms of pairs"
    )
    table.add_row(
        f"{options.streams} streams, tokens/s",
        f"{streamed['open_tokens_s']}",
        f"{streamed['governed_tokens_s']}",
        f"{streamed['loss_percent']} % less",
    )
    table.add_row("CPU us per token", f"{streamed['open_cpu_us']}", f"{streamed['governed_cpu_us']}", "")
    Console().print(table)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
