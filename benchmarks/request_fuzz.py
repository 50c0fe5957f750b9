"""Sends the real application requests with wrong, huge, deep and hostile values, over a scripted engine, some side by side.

Finds: a 5xx that is not declared overload, a request that takes longer than ``--seconds``, an event loop that works for longer
than ``--stall`` on one thing, memory that grows beyond ``--mib``. Every request is made again from its number: ``--only N``. The last
line is one JSON object; the status says whether anything was found.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import random
import resource
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import structlog
from request_bodies import EDIT, request

from dovetail.serve.api.app import create_app
from dovetail.serve.api.served import ServedModel
from dovetail.serve.constrain.grammar.checks import CheckProcesses
from dovetail.serve.edit.landing.process import LandingProcesses
from dovetail.serve.engine.fake import FakeEngine, reply
from dovetail.serve.types import Request

sys.path.insert(0, str(Path(__file__).parent.parent / "tests/serve/api"))
from conftest import CODEC, served_model

_TICK_S = 0.01


@dataclass
class Found:
    """What was found so far."""

    statuses: Counter[int] = field(default_factory=Counter)
    faults: list[dict[str, Any]] = field(default_factory=list)
    slowest: list[tuple[float, int, str]] = field(default_factory=list)
    longest_stall: float = 0.0
    stalled: int = 0
    own_s: float = 0.0


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--only", type=int)
    parser.add_argument("--together", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--stall", type=float, default=1.0)
    parser.add_argument("--mib", type=int, default=1500)
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    numbers = [given.only] if given.only is not None else range(given.first, given.first + given.requests)
    found = Found()
    check, landings = CheckProcesses(), LandingProcesses()
    app = create_app(FakeEngine(_said), _served(), check=check, landings=landings)
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    queue = iter(numbers)
    ticking = asyncio.create_task(_ticks(found))
    began = time.monotonic()
    async with httpx.AsyncClient(transport=transport, base_url="http://fuzz", timeout=None) as client:
        await asyncio.gather(*(_worker(client, queue, found, given) for _ in range(given.together)))
    ticking.cancel()
    await check.close()
    landings.close()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    if peak > given.mib:
        found.faults.append({"fault": "memory", "mib": peak})
    for seconds, number, endpoint in sorted(found.slowest, reverse=True)[:5]:
        print(f"{seconds:.2f} s: {endpoint}, --only {number}")
    told = {
        "requests": sum(found.statuses.values()),
        "seconds": round(time.monotonic() - began, 1),
        "statuses": dict(sorted(found.statuses.items())),
        "faults": found.faults[:20],
        "slowest_s": round(max(found.slowest, default=(0.0,))[0], 2),
        "longest_stall_s": round(found.longest_stall, 2),
        "stalls": found.stalled,
        "peak_mib": peak,
        "children_peak_mib": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10,
    }
    print(json.dumps(told))
    return 1 if found.faults else 0


def _served() -> ServedModel:
    return served_model(max_model_len=200_000)


def _said(request: Request) -> Any:
    return reply(request, [EDIT if request.constraint is not None else "Hello"], CODEC.encode)


async def _ticks(found: Found) -> None:
    while True:
        before, own_s = time.thread_time(), found.own_s
        await asyncio.sleep(_TICK_S)
        late = time.thread_time() - before - (found.own_s - own_s)
        found.longest_stall = max(found.longest_stall, late)


async def _worker(client: httpx.AsyncClient, queue: Any, found: Found, given: argparse.Namespace) -> None:
    for number in queue:
        began = time.thread_time()
        endpoint, body = request(random.Random(number))
        found.own_s += time.thread_time() - began
        before, found.longest_stall = found.longest_stall, 0.0
        began = time.monotonic()
        answer = await client.post(endpoint, content=body, headers={"content-type": "application/json"})
        took = time.monotonic() - began
        stall = found.longest_stall
        found.longest_stall = max(before, stall)
        found.statuses[answer.status_code] += 1
        found.slowest = sorted([*found.slowest, (took, number, endpoint)], reverse=True)[:20]
        faults = []
        if answer.status_code >= 500 and answer.status_code != 503:
            faults.append("status")
        if took > given.seconds:
            faults.append("time")
        if stall > given.stall:
            found.stalled += 1
            faults.append("stall")
        if faults:
            told = {"number": number, "endpoint": endpoint, "fault": faults, "status": answer.status_code}
            told |= {"seconds": round(took, 2), "stall": round(stall, 2), "bytes": len(body)}
            found.faults.append(told)
            print(told, body[:200], answer.text[:300], flush=True)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
