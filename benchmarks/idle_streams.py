"""Do idle streams slow down active ones? Gaps between the tokens of 32 active streams, with and without 200 idle ones.

    python benchmarks/idle_streams.py [--active 32] [--idle 200] [--step-ms 20] [--engine paced|embedded]

An idle stream is connected, has had its headers, and waits for its first token. Before the paced engine (paced_server.py)
all that differs is the API process's work; with the embedded model the idle streams' requests wait in the engine's queue.
The active streams go on all the time, and the idle ones come and go: every stretch with them is compared with the two
around it, since steps take longer the more tokens they look back at, and the machine has other things to do, too. The last line
is one JSON object.
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
from pathlib import Path
from typing import Any

from api_overhead import Stream, body_of, cpu_seconds, paced_server
from rich.console import Console
from rich.table import Table

from dovetail.models.embedded import WEIGHTS
from dovetail.models.tokenizer import Tokenizer
from dovetail.serve.config.server import ServerConfig
from dovetail.serve.server_process import start_server_process

SETTLE_S = 0.2
"""After idle streams have come or gone, before gaps count."""


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


async def stretches(port: int, server: int, options: argparse.Namespace) -> list[dict[str, float]]:
    """The figures of each stretch, every second one with idle streams; the active streams are the same throughout.

    ``server``: the id of its first process."""
    pids = family(server)
    path, body = body_of("chat", options.tokens * (options.rounds + 1) * 8)
    # Never an end token: what follows one has no text, and so no event.
    body["logit_bias"] = {str(token): -100 for token in Tokenizer.load(WEIGHTS).eos_ids}
    streams = [Stream() for _ in range(options.active)]
    tasks = [asyncio.create_task(each.run(port, path, body)) for each in streams]
    try:
        while min(each.events for each in streams) < 2:  # noqa: ASYNC110 (a count)
            await asyncio.sleep(0.01)
        found = [await stretch(streams, pids, options.tokens)]
        for _ in range(options.rounds):
            async with idle_streams(port, options.idle):
                found.append(await stretch(streams, pids, options.tokens))
            found.append(await stretch(streams, pids, options.tokens))
        assert not any(task.done() for task in tasks), "an active stream has ended"
    finally:
        for each in streams:
            each.close()
        await asyncio.gather(*tasks, return_exceptions=True)
    return found


def family(pid: int) -> list[int]:
    """The process and all that it has started."""
    children = [
        int(each) for task in Path(f"/proc/{pid}/task").iterdir() for each in (task / "children").read_text().split()
    ]
    return [pid, *(each for child in children for each in family(child))]


async def stretch(streams: list[Stream], pids: list[int], tokens: int) -> dict[str, float]:
    """Gaps until the streams have had so many tokens each, on average: one whose text is held back has no event.

    And the server's CPU time per token, which others on the machine disturb less."""
    await asyncio.sleep(SETTLE_S)
    since, before = time.perf_counter(), sum(each.events for each in streams)
    spent = sum(cpu_seconds(pid) for pid in pids)
    while sum(each.events for each in streams) < before + tokens * len(streams):  # noqa: ASYNC110 (a count)
        await asyncio.sleep(0.005)
    spent = sum(cpu_seconds(pid) for pid in pids) - spent
    cpu_us = spent / (sum(each.events for each in streams) - before) * 1e6
    times = [[at for at in each.times if at >= since] for each in streams]
    gaps = [later - earlier for each in times for earlier, later in itertools.pairwise(each)]
    return {**figures(gaps), "cpu_us": round(cpu_us, 1)}


@contextmanager
def server(options: argparse.Namespace) -> Iterator[tuple[int, int]]:
    """Port and first process of the server that was asked for."""
    if options.engine == "paced":
        with paced_server(options.step_ms) as (port, pid):
            yield port, pid
        return
    config = ServerConfig(port=0, model_name="coder", max_num_seqs=options.active, max_draft=0, log_level="warning")
    handle = start_server_process(config, lambda _, __: None)
    try:
        yield int(handle.url.rpartition(":")[2]), handle.process.pid
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
    """Parse arguments, measure, print a table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--active", type=int, default=32)
    parser.add_argument("--idle", type=int, default=200)
    parser.add_argument("--step-ms", type=float, default=20.0)
    parser.add_argument("--tokens", type=int, default=60, help="of each stream and stretch")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--engine", choices=["paced", "embedded"], default="paced")
    options = parser.parse_args()
    with server(options) as (port, pid):
        found = asyncio.run(stretches(port, pid, options))
    alone, beside = found[::2], found[1::2]
    around = [{key: (before[key] + after[key]) / 2 for key in before} for before, after in itertools.pairwise(alone)]
    medians = {
        name: {key: round(statistics.median(each[key] for each in group), 3) for key in group[0]}
        for name, group in (("alone", around), ("beside", beside))
    }
    growth = {
        key: round(statistics.median(b[key] / a[key] for a, b in zip(around, beside, strict=True)) - 1, 4)
        for key in medians["alone"]
    }
    table = Table("", *growth, title=f"{options.active} active streams, {options.engine} engine")
    for name, found in medians.items():
        table.add_row(name, *(f"{value:.2f}" for value in found.values()))
    table.add_row("growth", *(f"{value:+.1%}" for value in growth.values()))
    Console().print(table)
    report: dict[str, Any] = {"benchmark": "idle_streams", "engine": options.engine, "step_ms": options.step_ms}
    report |= {"active": options.active, "idle": options.idle, "rounds": options.rounds, **medians, "growth": growth}
    print(json.dumps(report))


if __name__ == "__main__":
    main()
