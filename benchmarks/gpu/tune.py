"""Which tiles, warps and stages suit this GPU? Tries them for the attention and matrix kernels, best first.

    python benchmarks/gpu/tune.py [--seconds 240]

Prints microseconds of each, and at the end one JSON object; what is best goes into the LAUNCHES of kernels/attention/triton.py and
kernels/linear/triton.py by hand. Launches that do not fit into the device are left out.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import operators
import torch
from clock import rotating, seconds
from triton.runtime.errors import OutOfResources

from dovetail.kernels.attention import triton as attention
from dovetail.kernels.linear import triton as linear

WARPS, STAGES = (4, 8, 2), (2, 3, 4, 1)
TRIED: tuple[tuple[str, Any, str, tuple[Any, ...]], ...] = (
    ("attention, decoding", attention, "few", (64, 128, 32)),
    ("attention, prompt", attention, "many", (64, 128, 32)),
    ("attention, drafts of 7", attention, "few", (64, 128, 32)),
    ("linear, int4, rows 1", linear, "few", (64, 32, 128)),
    ("linear, int8, rows 1", linear, "few", (64, 32, 128)),
    ("linear, int4, rows 32", linear, "many", (64, 32, 128)),
)
"""Operator, its kernels, which launch, and what a tile may have: keys, or outputs."""


def times(runs: list[Callable[[], Any]], kernels: Any, which: str, sizes: tuple[int, ...]) -> Iterator[dict[str, Any]]:
    """One row for each launch that fits."""
    usual = kernels.LAUNCHES[which]
    try:
        for size, warps, stages in itertools.product(sizes, WARPS, STAGES):
            kernels.LAUNCHES[which] = type(usual)(size, warps, stages)
            try:
                taken = seconds(rotating(runs), torch.device("cuda"), 20)
            except OutOfResources:
                continue
            yield {"tile": size, "warps": warps, "stages": stages, "microseconds": taken * 1e6}
    finally:
        kernels.LAUNCHES[which] = usual


def main() -> int:
    """Try all of it, as far as there is time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=240.0)
    end = time.monotonic() + parser.parse_args().seconds
    if not torch.cuda.is_available():
        print("torch finds no CUDA device here", file=sys.stderr)
        return 2
    makers = dict(operators.cases(operators.FULL, torch.device("cuda"), torch.bfloat16))
    found: dict[str, list[dict[str, Any]]] = {}
    for number, (name, kernels, which, sizes) in enumerate(TRIED):
        until = time.monotonic() + (end - time.monotonic()) / (len(TRIED) - number)
        runs = [case.run for case in makers[name]()]
        rows = found[name] = []
        for row in times(runs, kernels, which, sizes):
            rows.append(row)
            if time.monotonic() > until:
                break
        rows.sort(key=lambda row: row["microseconds"])
        print(f"{name} ({which})")
        for row in rows[:6]:
            print(
                f"  {row['microseconds']:10.1f} us  tile {row['tile']:4}  warps {row['warps']}  stages {row['stages']}"
            )
    print(json.dumps({"benchmark": "gpu_tune", "device": torch.cuda.get_device_name(), "found": found}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
