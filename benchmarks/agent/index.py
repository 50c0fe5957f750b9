"""How fast is the repository index? Cold and warm opening, a refresh after one changed file, a map, callers.

    python benchmarks/agent/index.py [--files 1000] [--rounds 5]

``..._cpu_ms`` is processor time of all processes together: it says on a shared machine what a quiet one would take at most.
Copies Python files of the packages installed beside it into a folder of their own, as they lie there. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from dovetail.agent.repo.index import RepoIndex


def copy_corpus(root: Path, wanted: int) -> int:
    """Whole packages in alphabetical order until there are enough files; bytes copied."""
    source = Path(sysconfig.get_path("purelib"))
    found = sorted(path for path in source.rglob("*.py") if path.is_file() and "dovetail" not in path.parts)
    if len(found) < wanted:
        raise SystemExit(f"Only {len(found)} Python files are installed: ask for fewer with --files.")
    step = len(found) / wanted
    size = 0
    for number in range(wanted):
        path = found[int(number * step)]
        target = root / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        size += target.stat().st_size
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    return size


def timed(call: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def processor() -> float:
    """Processor seconds of this process and its children, those that still run too (Linux; in hundredths)."""
    own = os.times()
    total = own.user + own.system + own.children_user + own.children_system
    for task in Path("/proc/self/task").glob("*/children"):
        for child in task.read_text().split():
            try:
                fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
            except FileNotFoundError:
                continue
            total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def opened(root: Path, cache: Path) -> tuple[RepoIndex, float]:
    """An index, and the seconds until it was there."""
    start = time.perf_counter()
    index = RepoIndex.open(root, cache)
    return index, time.perf_counter() - start


def measure(root: Path, cache: Path, rounds: int) -> dict[str, float]:
    """Medians in milliseconds."""
    times: dict[str, list[float]] = {}
    chance = random.Random(0)
    for _ in range(rounds):
        shutil.rmtree(cache, ignore_errors=True)
        used = processor()
        index, seconds = opened(root, cache)
        times.setdefault("cold_ms", []).append(seconds)
        index.close()
        times.setdefault("cold_cpu_ms", []).append(processor() - used)
        index, seconds = opened(root, cache)
        times.setdefault("warm_ms", []).append(seconds)
        times.setdefault("map_ms", []).append(timed(lambda index=index: index.map(2000, ["parse the header"])))
        paths = [path for path, facts in index.files.items() if facts.definitions]
        for path in chance.sample(paths, 5):
            with open(root / path, "a", encoding="utf-8") as file:
                file.write("\n\ndef added_by_the_benchmark():\n    return 1\n")
            used = processor()
            times.setdefault("refresh_ms", []).append(timed(index.refresh))
            times.setdefault("refresh_cpu_ms", []).append(processor() - used)
            times.setdefault("callers_after_refresh_ms", []).append(
                timed(
                    lambda index=index: [
                        index.callers(symbol) for symbol in index.definitions("added_by_the_benchmark")
                    ]
                )
            )
            times.setdefault("map_after_refresh_ms", []).append(timed(lambda index=index: index.map(2000)))
        times.setdefault("refresh_unchanged_ms", []).append(timed(index.refresh))
        index.close()
    return {name: round(statistics.median(values) * 1000, 1) for name, values in times.items()}


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root, cache = Path(folder) / "corpus", Path(folder) / "cache"
        root.mkdir()
        size = copy_corpus(root, arguments.files)
        result = measure(root, cache, arguments.rounds)
        [stored] = cache.glob("*.sqlite")
        cache_bytes = stored.stat().st_size
    for name, value in result.items():
        print(f"{name:28} {value:10.1f}")
    about = {"files": arguments.files, "bytes": size, "cache_bytes": cache_bytes, "cores": len(os.sched_getaffinity(0))}
    print(json.dumps({"benchmark": "agent/index", **about, **result}))


if __name__ == "__main__":
    main()
