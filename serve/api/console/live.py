"""What the console's first page shows: is it up, how fast, whose requests, what failed. Numbers and names, no text of anybody."""

from __future__ import annotations

import os
import time
from collections import Counter
from typing import Any

import msgspec

from dovetail import __version__
from dovetail.serve.api.context import ApiContext
from dovetail.serve.api.hosted import Hosted
from dovetail.serve.api.http.recent import SECONDS, Passing, Recent, percentile, series
from dovetail.serve.errors import EngineError

PLOTTED = 300
"""Seconds that are plotted."""
LISTED = 150
"""Requests that are listed."""
_SERIES = ("tokens", "running", "answered", "refused", "failed", "left")
_SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


def snapshot(context: ApiContext) -> dict[str, Any]:
    """Everything at once, so that its parts belong to the same moment."""
    recent = context.metrics.recent
    stats = context.engine.stats()
    return {
        "time": time.time(),
        "since": recent.since,
        "state": "draining" if context.load.draining else "ready" if context.engine.ready else "loading",
        "server": _server(context),
        "models": [_model(each) for each in context.models],
        "engine": msgspec.to_builtins(stats),
        "memory": {**_machine(), "api_bytes": _resident(), "engine_bytes": stats.resident_bytes},
        "seconds": {name: series(recent.seconds(PLOTTED), name) for name in _SERIES},
        "ended": dict(sum((each.ended for each in recent.seconds(SECONDS)), Counter[str]())),
        "remembered_seconds": SECONDS,
        "latency": _latency(recent),
        "requests": [_told(each) for each in recent.requests()[:LISTED]],
    }


def _server(context: ApiContext) -> dict[str, Any]:
    told: dict[str, Any] = {
        "version": __version__,
        "model": context.served.name,
        "context_length": context.served.max_model_len,
        "fingerprint": context.fingerprint,
        "most_in_flight": context.settings.max_in_flight,
        "policy": context.settings.policy.digest if context.settings.policy is not None else None,
    }
    try:
        return {**told, "loaded": msgspec.to_builtins(context.engine.info)}
    except EngineError:
        return {**told, "loaded": None}


def _model(hosted: Hosted) -> dict[str, Any]:
    stats = hosted.engine.stats()
    return {
        "name": hosted.served.name,
        "ready": hosted.engine.ready,
        "running": stats.running,
        "waiting": stats.waiting,
        "generated_tokens": stats.generated_tokens,
        "restarts": stats.restarts,
        "resident_bytes": stats.resident_bytes,
    }


def _latency(recent: Recent) -> dict[str, Any]:
    return {
        name: {"count": len(values), **{label: percentile(values, share) for label, share in _SHARES.items()}}
        for name, values in recent.latencies().items()
    }


def _told(passing: Passing) -> dict[str, Any]:
    return {
        "request_id": passing.request_id,
        "began": passing.began,
        "method": passing.method,
        "path": passing.path,
        "who": passing.who,
        "client": passing.client,
        "outcome": passing.outcome,
        "status": passing.status,
        "code": passing.code,
        "seconds": passing.seconds,
        "first_token_s": passing.first_token_s,
        "prompt_tokens": passing.prompt_tokens,
        "completion_tokens": passing.completion_tokens,
    }


def _machine() -> dict[str, int]:
    """Memory of the machine; nothing where the system does not say."""
    wanted = {"MemTotal:": "total_bytes", "MemAvailable:": "available_bytes"}
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            words = [line.split() for line in file]
    except OSError:
        return {}
    return {wanted[each[0]]: int(each[1]) * 1024 for each in words if each[0] in wanted}


def _resident() -> int:
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
