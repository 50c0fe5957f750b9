"""Does every request end exactly once, whatever happens? Random requests, disconnects and engine kills against a real server.

    python benchmarks/soak.py --requests 1000 --kills 2
    python benchmarks/soak.py --requests 10000 --kills 0     (memory: compares after a tenth and after all)

Starts `dovetail serve` on a tiny random model. The last line is one JSON object; status 1 when something was wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
from nasty_files import nasty_file
from rich.console import Console
from rich.progress import Progress

from dovetail.models.random_checkpoint import write_random_checkpoint
from dovetail.serve.config.server import ServerConfig
from dovetail.serve.server_process import ServerHandle, start_server_process


def engine_pid(server: int) -> int | None:
    """The engine process of a server process."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
                command = (entry / "cmdline").read_bytes()
            except (OSError, IndexError):
                continue
            if parent == server and b"dovetail.serve.worker" in command:
                return int(entry.name)
    return None


def resident_mib(pid: int) -> float:
    """Resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"process {pid} reports no memory")


def random_request(rng: random.Random) -> tuple[str, dict[str, Any]]:
    """An endpoint and a body. Edits are of 200 files again and again: prepared files are kept (64 MiB of them), and what is
    looked for is memory that is lost."""
    body: dict[str, Any] = {
        "max_tokens": rng.choice([1, 5, 20, 60]),
        "temperature": rng.choice([0, 0.7, 1.3]),
        "top_p": rng.choice([1, 0.8]),
        "top_k": rng.choice([0, 20]),
        "seed": rng.randrange(10**6),
        "stream": rng.random() < 0.6,
    }
    kind = rng.random()
    if kind < 0.3:
        _, _, path, content = nasty_file(random.Random(rng.randrange(200)))
        return "/v1/edits", {**body, "instruction": "change it", "files": [{"path": path, "content": content}]}
    body |= {
        "n": rng.choice([1, 1, 3]),
        "presence_penalty": rng.choice([0, 0.5]),
        "stop": rng.choice([None, ["\n"], "e"]),
    }
    text = " ".join(rng.choice(["def", "return", "value", "if", "None"]) for _ in range(rng.randrange(1, 200)))
    if kind < 0.6:
        return "/v1/completions", {**body, "prompt": text, "logprobs": rng.choice([None, 2])}
    return "/v1/chat/completions", {**body, "messages": [{"role": "user", "content": text}]}


async def ask(client: httpx.AsyncClient, rng: random.Random) -> str:
    """How one request ended: finished, refused, failed (an error that says so), left (we hung up), or broken."""
    path, body = random_request(rng)
    leave_after = rng.randrange(1, 6) if rng.random() < 0.15 else None
    try:
        if not body["stream"]:
            response = await client.post(path, json=body)
            return (
                "finished" if response.status_code == 200 else "refused" if response.json().get("error") else "broken"
            )
        ends = 0
        failed = False
        async with client.stream("POST", path, json=body) as response:
            if response.status_code != 200:
                return "refused"
            count = 0
            async for line in response.aiter_lines():
                count += 1
                if leave_after is not None and count > leave_after:
                    return "left"
                failed |= line == "event: error" or line.startswith('data: {"error"')
                ends += line in ("data: [DONE]", "event: edits.completed", "event: error")
        return "failed" if failed else "finished" if ends == 1 else "broken"
    except httpx.TransportError:
        return "broken"


async def wait_ready(client: httpx.AsyncClient) -> None:
    """Until the engine is back."""
    for _ in range(600):
        if (await client.get("/ready")).status_code == 200:
            return
        await asyncio.sleep(0.1)
    raise RuntimeError("the server did not become ready again")


async def metrics(client: httpx.AsyncClient) -> dict[str, float]:
    """Unlabelled figures of /metrics."""
    lines = (await client.get("/metrics")).text.splitlines()
    return {line.split()[0]: float(line.split()[1]) for line in lines if line and line[0] != "#" and "{" not in line}


async def soak(handle: ServerHandle, options: argparse.Namespace) -> dict[str, Any]:
    """Send everything; returns the figures."""
    rng = random.Random(options.seed)
    kills = [options.requests * (k + 1) // (options.kills + 1) for k in range(options.kills)]
    outcome: Counter[str] = Counter()
    memory: dict[str, float] = {}
    sent = 0
    limits = httpx.Limits(max_connections=64)
    async with httpx.AsyncClient(base_url=handle.url, timeout=120, limits=limits, trust_env=False) as client:
        with Progress(console=Console(stderr=True)) as progress:
            bar = progress.add_task("requests", total=options.requests)

            async def work() -> None:
                nonlocal sent
                while sent < options.requests:
                    sent += 1
                    if kills and sent >= kills[0] and (pid := engine_pid(handle.process.pid)):
                        kills.pop(0)
                        os.kill(pid, signal.SIGKILL)
                    if sent == options.requests // 10 and (pid := engine_pid(handle.process.pid)):
                        memory["early"] = resident_mib(pid)
                    how = await ask(client, rng)
                    outcome[how] += 1
                    if how == "refused":
                        await wait_ready(client)
                    progress.update(bar, completed=outcome.total())

            await asyncio.gather(*(work() for _ in range(options.concurrency)))
        await wait_ready(client)
        for _ in range(100):  # cancelled requests leave within a step
            figures = await metrics(client)
            if figures["dovetail_engine_running"] + figures["dovetail_engine_waiting"] == 0:
                break
            await asyncio.sleep(0.1)
    pid = engine_pid(handle.process.pid)
    assert pid is not None
    memory["late"] = resident_mib(pid)
    return {
        "outcomes": dict(outcome),
        "requests": outcome.total(),
        "restarts": figures["dovetail_engine_restarts_total"],
        "running": figures["dovetail_engine_running"],
        "waiting": figures["dovetail_engine_waiting"],
        "kv_blocks_lost": figures["dovetail_engine_kv_blocks"] - figures["dovetail_engine_kv_blocks_free"],
        "violations": figures["dovetail_guarantee_violations_total"],
        "engine_mib": {name: round(value, 1) for name, value in memory.items()},
    }


def main() -> int:
    """Start the server, soak it, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--concurrency", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        directory = write_random_checkpoint(Path(folder, "soak"))
        config = ServerConfig(
            model=directory, port=0, threads=1, max_num_seqs=16, kv_cache_memory=8 * 2**20, log_level="error"
        )
        handle = start_server_process(config, lambda fraction, what: None)
        try:
            result = asyncio.run(soak(handle, options))
        finally:
            handle.stop()
    broken = result["outcomes"].get("broken", 0) + result["running"] + result["waiting"]
    broken += result["kv_blocks_lost"] + result["violations"] + (result["requests"] != options.requests)
    broken += result["restarts"] != options.kills
    print(json.dumps({"benchmark": "soak", "wrong": broken, **result, "seconds": round(time.monotonic() - start, 1)}))
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main())
