"""Times on a device, and its two ceilings measured: bytes per second of a copy, operations per second of a matrix product."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch


def seconds(run: Callable[[], Any], device: torch.device, repeats: int) -> float:
    """Median of ``repeats`` runs after two that are not counted; on CUDA by events, several runs in flight."""
    for _ in range(2):
        run()
    if device.type != "cuda":
        times = []
        for _ in range(repeats):
            start = time.perf_counter()
            run()
            times.append(time.perf_counter() - start)
        return statistics.median(times)
    marks = [torch.cuda.Event(enable_timing=True) for _ in range(repeats + 1)]
    torch.cuda.synchronize(device)
    marks[0].record()
    for mark in marks[1:]:
        run()
        mark.record()
    torch.cuda.synchronize(device)
    return statistics.median(a.elapsed_time(b) for a, b in itertools.pairwise(marks)) / 1e3


def rotating(runs: list[Callable[[], Any]]) -> Callable[[], Any]:
    """The runs in turn: so much data between two of the same that no cache holds it."""
    turn = 0

    def run() -> Any:
        nonlocal turn
        turn += 1
        return runs[turn % len(runs)]()

    return run


def copy_bandwidth(device: torch.device, nbytes: int, repeats: int) -> float:
    """Bytes read and written per second by a large copy on the device."""
    source = torch.randint(0, 255, (nbytes,), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * nbytes / seconds(lambda: target.copy_(source), device, repeats)


def matrix_rate(device: torch.device, size: int, dtype: torch.dtype, repeats: int) -> float:
    """Operations per second of a square product of random matrices."""
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    return 2 * size**3 / seconds(lambda: a @ b, device, repeats)
