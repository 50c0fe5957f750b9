"""Do idle streams slow down active ones? Gaps between the tokens of 32 active streams, alone and beside 200 idle ones.

    python benchmarks/idle_streams.py [--active 32] [--idle 200] [--step-ms 20] [--engine paced|embedded]

An idle stream is connected, has had its headers, and waits for its first token. Before the paced engine (paced_server.py)
all that differs is the API process's work; with the embedded model the idle streams' requests wait in the engine's queue.
Rounds alternate: alone, beside, alone, ... The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import statistics
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from api_overhead import Stream, body_of, paced_server
from rich.console import Console
from rich.table import Table

from dovetail.serve.config import ServerConfig
from dovetail.serve.server_process import start_server_process

FIRST, LAST = 10, 0.8
"""Events of each stream that are left out, and the part of its tokens at which measuring ends; some tokens have no event."""


@asynccontextmanager
async def idle_streams(port: int, count: int) -> AsyncIterator[None]:
    """``count`` streams that have had their headers and wait for a token while the block runs."""
    path, body = body_of("chat", 500, idle=True)
    streams = [Stream() for _ in range(count)]
    tasks = [asyncio.create_task(each.run(port, path, body)) for each in streams]
    try:
        while any(each.events < 1 for each in streams):  # noqa: ASYNC110 (a count)
            await asyncio.sleep(0.01)
        yield
        assert not any(each.events > 1 for each in streams), "an idle stream got a token"
    finally:
        for each in streams:
            each.close()
        await asyncio.gather(*tasks, return_exceptions=True)


async def gaps(port: int, active: int, idle: int, tokens: int) -> list[float]:
    """Seconds between tokens of the active streams, beside ``idle`` idle ones that came when all active ones had begun."""
    path, body = body_of("chat", tokens)
    streams = [Stream() for _ in range(active)]
    tasks = [asyncio.create_task(each.run(port, path, {**body, "ignore_eos": True})) for each in streams]
    while min(each.events for each in streams) < FIRST:  # noqa: ASYNC110 (a count)
        await asyncio.sleep(0.01)
    async with idle_streams(port, idle):
        since = time.perf_counter()
        # Ended while all are still active: the engine would give free places to the others.
        while not _over(streams, tasks, tokens):  # noqa: ASYNC110 (a count)
            await asyncio.sleep(0.005)
        now = time.perf_counter()
    for each in streams:
        each.close()
    await asyncio.gather(*tasks, return_exceptions=True)
    times = [[at for at in each.times if since <= at <= now] for each in streams]
    return [later - earlier for each in times for earlier, later in itertools.pairwise(each)]


def _over(streams: list[Stream], tasks: list[asyncio.Task[None]], tokens: int) -> bool:
    return max(each.events for each in streams) >= tokens * LAST or any(task.done() for task in tasks)


@contextmanager
def server(options: argparse.Namespace) -> Iterator[int]:
    """The port of the server that was asked for."""
    if options.engine == "paced":
        with paced_server(options.step_ms) as (port, _):
            yield port
        return
    config = ServerConfig(port=0, model_name="coder", max_num_seqs=options.active, max_draft=0, log_level="warning")
    handle = start_server_process(config, lambda _, __: None)
    try:
        yield int(handle.url.rpartition(":")[2])
    finally:
        handle.stop()


def figures(found: list[float]) -> dict[str, float]:
    """Milliseconds: mean, median, and the 99th of a hundred."""
    ordered = sorted(found)
    return {
        "mean_ms": round(statistics.fmean(ordered) * 1e3, 3),
        "p50_ms": round(ordered[len(ordered) // 2] * 1e3, 3),
        "p99_ms": round(ordered[int(len(ordered) * 0.99)] * 1e3, 3),
    }


def main() -> None:
    """Parse arguments, measure in alternating rounds, print a table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--active", type=int, default=32)
    parser.add_argument("--idle", type=int, default=200)
    parser.add_argument("--step-ms", type=float, default=20.0)
    parser.add_argument("--tokens", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--engine", choices=["paced", "embedded"], default="paced")
    options = parser.parse_args()
    seen: dict[str, list[dict[str, float]]] = {"alone": [], "beside": []}
    with server(options) as port:
        for number in range(options.rounds + 1):
            for name, idle in (("alone", 0), ("beside", options.idle)):
                found = figures(asyncio.run(gaps(port, options.active, idle, options.tokens)))
                if number:  # the first round warms up
                    seen[name].append(found)
    medians = {
        name: {key: statistics.median(each[key] for each in rounds) for key in rounds[0]}
        for name, rounds in seen.items()
    }
    growth = {
        key: round(
            statistics.median(b[key] / a[key] for a, b in zip(seen["alone"], seen["beside"], strict=True)) - 1, 4
        )
        for key in medians["alone"]
    }
    table = Table("", *growth, title=f"{options.active} active streams, {options.engine} engine")
    for name, found in medians.items():
        table.add_row(name, *(f"{value:.2f}" for value in found.values()))
    table.add_row("growth", *(f"{value:+.1%}" for value in growth.values()))
    Console().print(table)
    report: dict[str, Any] = {"benchmark": "idle_streams", "engine": options.engine, "step_ms": options.step_ms}
    report |= {"active": options.active, "idle": options.idle, **medians, "growth": growth}
    print(json.dumps(report))


if __name__ == "__main__":
    main()
