"""What does the API process cost per streamed token? Its CPU time in mid-stream, before an engine that runs no model.

    python benchmarks/api_overhead.py [--streams 1 8 32] [--step-ms 5] [--tokens 600]

The whole way is measured: the engine's message off the socket, the answer's pieces, JSON, the write to the client. Every
stream gets one token per step; at 0 ms the engine steps as fast as it can, and what waits for one stream is told at once
(``tokens_per_event``). Beginnings and ends of requests are left
out: the process's CPU clock is read when all streams have begun, and again before any ends. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from paced_server import IDLE, WORD
from rich.console import Console
from rich.table import Table

TEXT = "Tell me everything."
MARK = WORD.encode()
BODIES: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", {"messages": [{"role": "user", "content": TEXT}]}),
    "completions": ("/v1/completions", {"prompt": TEXT}),
    "responses": ("/v1/responses", {"input": TEXT, "store": False}),
    "messages": ("/v1/messages", {"messages": [{"role": "user", "content": TEXT}]}),
}
"""By protocol: path and body."""


@dataclass
class Stream:
    """One streamed answer: how many tokens and events came, and when bytes with events did."""

    tokens: int = 0
    events: int = 0
    times: list[float] = field(default_factory=list)
    writer: asyncio.StreamWriter | None = None

    async def run(self, port: int, path: str, body: dict[str, Any]) -> None:
        """Ask, and read until the end."""
        reader, self.writer = await asyncio.open_connection("127.0.0.1", port)
        content = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n"
        self.writer.write(head.encode() + b"content-length: %d\r\n\r\n" % len(content) + content)
        rest = b""
        while piece := await reader.read(65536):
            found = (rest + piece).count(MARK)
            self.tokens += found
            events = piece.count(b"data: ")
            self.events += events
            if events:
                self.times.append(time.perf_counter())
            rest = (rest + piece)[1 - len(MARK) :]
        self.close()

    def close(self) -> None:
        """Hang up."""
        if self.writer is not None:
            self.writer.close()


def body_of(protocol: str, tokens: int, *, idle: bool = False) -> tuple[str, dict[str, Any]]:
    """Path and body of a streamed request; an idle one gets no token."""
    path, body = BODIES[protocol]
    limit = "max_output_tokens" if protocol == "responses" else "max_tokens"
    priority = {"priority": IDLE} if idle else {}
    return path, {"model": "coder", "stream": True, limit: tokens, **body, **priority}


@contextmanager
def paced_server(step_ms: float) -> Iterator[tuple[int, int]]:
    """Port and process id of a server whose engine runs no model."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    script = str(Path(__file__).parent / "paced_server.py")
    process = subprocess.Popen([sys.executable, script, str(port), str(step_ms)])
    try:
        for _ in range(600):
            if is_ready(port):
                break
            time.sleep(0.1)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait(60)


def is_ready(port: int) -> bool:
    """Whether the server takes requests."""
    try:
        return httpx.get(f"http://127.0.0.1:{port}/ready", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def cpu_seconds(pid: int) -> float:
    """CPU time of a process and all of its threads, exact to the microsecond."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


async def overhead(port: int, pid: int, protocol: str, streams: int, tokens: int) -> tuple[float, float]:
    """CPU microseconds per token in mid-stream, and tokens per event."""
    path, body = body_of(protocol, tokens)
    running = [Stream() for _ in range(streams)]
    tasks = [asyncio.create_task(each.run(port, path, body)) for each in running]
    while min(each.tokens for each in running) < 20:  # noqa: ASYNC110 (a count)
        await asyncio.sleep(0.01)
    before, told = cpu_seconds(pid), sum(each.tokens for each in running)
    events = sum(each.events for each in running)
    while max(each.tokens for each in running) < tokens - 20:  # noqa: ASYNC110 (a count)
        await asyncio.sleep(0.01)
    spent, told = cpu_seconds(pid) - before, sum(each.tokens for each in running) - told
    events = sum(each.events for each in running) - events
    await asyncio.gather(*tasks)
    # The protocols that repeat the whole text at the end have it twice.
    assert all(each.tokens >= tokens for each in running), [each.tokens for each in running]
    return spent / told * 1e6, told / events


def main() -> None:
    """Parse arguments, measure in interleaved rounds, print a table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--protocols", nargs="+", choices=list(BODIES), default=list(BODIES))
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--step-ms", type=float, nargs="+", default=[5.0])
    parser.add_argument("--tokens", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    report: dict[str, Any] = {"benchmark": "api_overhead", "tokens": options.tokens}
    for step_ms in options.step_ms:
        report[f"step_{step_ms:g}_ms"] = found = measured(options, step_ms)
        table = Table("protocol", *(f"{streams} streams" for streams in options.streams))
        table.title = f"CPU µs per token (tokens per event), steps of {step_ms:g} ms"
        for protocol, figures in found.items():
            table.add_row(
                protocol, *(f"{each['cpu_us']:.1f} ({each['tokens_per_event']:.1f})" for each in figures.values())
            )
        Console().print(table)
    print(json.dumps(report))


def measured(options: argparse.Namespace, step_ms: float) -> dict[str, dict[int, dict[str, float]]]:
    """Medians by protocol and number of streams, of interleaved rounds."""
    seen: dict[tuple[str, int], list[tuple[float, float]]] = {}
    with paced_server(step_ms) as (port, pid):
        for _ in range(options.rounds):
            for protocol in options.protocols:
                for streams in options.streams:
                    found = asyncio.run(overhead(port, pid, protocol, streams, options.tokens))
                    seen.setdefault((protocol, streams), []).append(found)
    return {
        protocol: {
            streams: {
                "cpu_us": round(statistics.median(cpu for cpu, _ in seen[protocol, streams]), 1),
                "tokens_per_event": round(statistics.median(many for _, many in seen[protocol, streams]), 2),
            }
            for streams in options.streams
        }
        for protocol in options.protocols
    }


if __name__ == "__main__":
    main()
