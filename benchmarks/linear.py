"""How fast are the kernels for few rows? Weight bytes read per second, beside torch and the memory's own rate.

    python benchmarks/linear.py [--threads N] [--rounds N] [--instruction-set plain|avx2|avx512|avx512vnni|amx]

For each storage type and number of rows: GB/s of stored weights, the time relative to one row, and the speed relative to
torch's float32 linear on the same matrix. Every matrix is one of a set larger than 256 MB, used in turn, so that a cache does not
hold it (the small shape is meant to fit). Rounds are interleaved, medians are shown. Nothing is reported before the
results agree with the reference. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import Tensor

from dovetail.kernels.cpu.library import INSTRUCTION_SETS, instruction_set, limit_instruction_set
from dovetail.kernels.linear import reference
from dovetail.kernels.linear.packed import DEFAULT_GROUP, STORAGES, pack
from dovetail.kernels.linear.weight import KERNEL_ROWS, PackedWeight
from dovetail.kernels.ops import describe

ROWS = (1, 4, 8, 16, 32, 64, 512)
SHAPES = {"4096 x 4096": (4096, 4096, 256 << 20), "256 x 512 (in cache)": (512, 256, 0)}
SECONDS = 0.04
"""What one measurement should take at least."""


def timed(call: Callable[[], object]) -> float:
    """Seconds of one call, from a run of calls of at least SECONDS."""
    start, count = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - start) < SECONDS:
        call()
        count += 1
    return elapsed / count


def processor() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def copies(make: Callable[[], object], size: int, least: int) -> Iterator[object]:
    """An endless round through as many copies as take ``least`` bytes."""
    return itertools.cycle([make() for _ in range(max(1, -(-least // size)))])


def check(weight: Tensor, packed: dict[str, PackedWeight], x: Tensor) -> None:
    """Stop unless every kernel agrees with its reference."""
    for storage, stored in packed.items():
        for rows in ROWS:
            expected = reference.linear(x[:rows], stored.packed)
            error = float((stored.apply(x[:rows]) - expected).abs().max() / expected.abs().max())
            # Activations are rounded to 8 bits with int4, and to bfloat16 where tiles compute many rows.
            most = 2e-2 if storage == "int4" or (storage == "bfloat16" and rows > KERNEL_ROWS) else 1e-4
            assert error < most, f"{storage}, {rows} rows: off by {error:.1e}"


def measure(shape: tuple[int, int, int], rounds: int) -> dict[str, dict[int, float]]:
    """Median seconds by storage and number of rows; "torch" is torch's float32 linear."""
    n, k, least = shape
    weight = torch.randn(n, k)
    packed = {storage: PackedWeight(pack(weight, storage, DEFAULT_GROUP[storage])) for storage in STORAGES}
    x = torch.randn(max(ROWS), k)
    check(weight, packed, x)
    calls: dict[str, Callable[[int], object]] = {}
    dense = copies(weight.clone, weight.nbytes, least)
    calls["torch"] = lambda rows: F.linear(x[:rows], next(dense))  # type: ignore[arg-type]
    for storage, stored in packed.items():
        turn = copies(
            lambda p=stored.packed: PackedWeight(  # type: ignore[misc]
                type(p)(p.storage, p.rows, p.columns, p.words.clone(), p.params, p.block)
            ),
            stored.nbytes,
            least,
        )
        calls[storage] = lambda rows, turn=turn: next(turn).apply(x[:rows])  # type: ignore[misc]
    seconds: dict[str, dict[int, list[float]]] = {name: {rows: [] for rows in ROWS} for name in calls}
    for number in range(rounds + 1):
        for rows in ROWS:
            for name, call in calls.items():
                taken = timed(lambda call=call, rows=rows: call(rows))  # type: ignore[misc]
                if number:  # the first round warms up
                    seconds[name][rows].append(taken)
    return {name: {rows: statistics.median(taken) for rows, taken in by.items()} for name, by in seconds.items()}


def read_bandwidth(rounds: int) -> float:
    """GB/s of reading 256 MB, the better of a sum and a dot product."""
    memory = torch.ones(64 << 20)
    first, second = memory.chunk(2)
    readers: list[Callable[[], object]] = [memory.sum, lambda: torch.dot(first, second)]
    return memory.nbytes / min(timed(reader) for _ in range(rounds) for reader in readers) / 1e9


def main() -> None:
    """Parse arguments, measure, print the tables and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--instruction-set", choices=INSTRUCTION_SETS, default=None)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.instruction_set and limit_instruction_set(options.instruction_set) != options.instruction_set:
        parser.error(f"this processor, or this build, has no {options.instruction_set}")
    console = Console()
    console.print(describe())
    before = read_bandwidth(options.rounds)
    report: dict[str, object] = {}
    for title, shape in SHAPES.items():
        seconds = measure(shape, options.rounds)
        table = Table(
            "stored as", *(f"{rows} rows" for rows in ROWS), title=f"{title}: GB/s (time / one row) [x torch]"
        )
        cells: dict[str, dict[int, dict[str, float]]] = {}
        for name, by in seconds.items():
            storage = "float32" if name == "torch" else name
            size = pack(torch.zeros(shape[:2]), storage, DEFAULT_GROUP[storage]).nbytes  # type: ignore[index, arg-type]
            cells[name] = {
                rows: {
                    "us": round(taken * 1e6, 1),
                    "gb_per_s": round(size / taken / 1e9, 2),
                    "of_one_row": round(taken / by[1], 2),
                    "x_torch": round(seconds["torch"][rows] / taken, 2),
                }
                for rows, taken in by.items()
            }
            table.add_row(
                name,
                *(f"{c['gb_per_s']:.1f} ({c['of_one_row']:.2f}) [{c['x_torch']:.1f}]" for c in cells[name].values()),
            )
        console.print(table, markup=False)
        report[title] = cells
    bandwidth = max(before, read_bandwidth(options.rounds))
    console.print(f"read bandwidth, {torch.get_num_threads()} threads: {bandwidth:.1f} GB/s")
    print(
        json.dumps(
            {
                "benchmark": "linear",
                "machine": processor(),
                "instruction_set": instruction_set(),
                "threads": torch.get_num_threads(),
                "read_gb_per_s": round(bandwidth, 1),
                "results": report,
            }
        )
    )


if __name__ == "__main__":
    main()
