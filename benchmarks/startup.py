"""From the command to the first answer: how long until the server listens, is ready, and has answered.

    python benchmarks/startup.py [--model DIR] [--rounds 5]

Starts ``dovetail serve`` again and again on a free port; prints medians. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

import httpx

PATIENCE_S = 120.0


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(client: httpx.Client, path: str, deadline: float) -> None:
    """Until ``path`` answers 200."""
    while time.perf_counter() < deadline:
        try:
            if client.get(path).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.01)
    raise SystemExit(f"{path} did not answer 200 within {PATIENCE_S:.0f} s")


def once(model: list[str]) -> dict[str, float]:
    """Start, ask, stop: seconds since the start."""
    port = free_port()
    command = [
        str(Path(sys.executable).parent / "dovetail"),
        "serve",
        *model,
        "--port",
        str(port),
        "--log-level",
        "error",
    ]
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10, trust_env=False) as client:
            seen = {}
            for name, path in (("listening_s", "/health"), ("ready_s", "/ready")):
                wait_for(client, path, start + PATIENCE_S)
                seen[name] = time.perf_counter() - start
            body = {"model": client.get("/v1/models").json()["data"][0]["id"], "prompt": "def f(", "max_tokens": 8}
            client.post("/v1/completions", json=body).raise_for_status()
            seen["answered_s"] = time.perf_counter() - start
            return seen
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    """Measure and print."""
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--model", help="a model directory (default: the embedded model)")
    parse.add_argument("--rounds", type=int, default=5)
    options = parse.parse_args()
    rounds = [once([options.model] if options.model else []) for _ in range(options.rounds)]
    medians = {name: round(statistics.median(each[name] for each in rounds), 3) for name in rounds[0]}
    for name, seconds in medians.items():
        print(f"{name:12} {seconds:7.2f}")
    print(json.dumps({"benchmark": "startup", "rounds": options.rounds, **medians}))


if __name__ == "__main__":
    main()
