"""One part of the benchmark, in a process of its own: every figure is printed as it comes, as a line of JSON.

    python benchmarks/gpu/part.py streams:7b --ceilings '[4.2e12, 7.9e14]'

Before a figure its key is printed alone: whoever reads this knows what was being measured when the process ended. Ends with 2 where
there is no such device.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import edits
import operators
import reference_loop
import reference_vllm
import serving
import torch
from clock import copy_bandwidth, matrix_rate
from returning import figures as returning
from shapes import SHAPES, random_model

from dovetail.models.embedded import WEIGHTS
from dovetail.models.tokenizer import Tokenizer

LOADS = {"cpu": serving.TINY, "cuda": serving.FULL}
EDITS = {"cpu": edits.TINY, "cuda": edits.FULL}
QUANTISED = ("int8", "int4", "fp8")
ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests" / "kernels" / "triton"
Figures = Iterator[tuple[str, Callable[[], Any]]]


@dataclass(frozen=True)
class Context:
    """What a part is measured with."""

    device: torch.device
    shape: str
    bandwidth: float
    rate: float
    load: serving.Load

    @property
    def small(self) -> bool:
        """Whether only the script is tried."""
        return self.device.type == "cpu"

    @property
    def dtype(self) -> torch.dtype:
        """What is computed in."""
        return torch.float32 if self.small else torch.bfloat16

    @property
    def repeats(self) -> int:
        """Runs of which the median is taken."""
        return 2 if self.small else 50


def ceilings(context: Context) -> Figures:
    """The two rates that everything is compared with."""
    device = context.device

    def measured() -> dict[str, Any]:
        small = context.small
        name = platform.processor() or "a CPU" if small else torch.cuda.get_device_name(device)
        return {
            "device": name,
            "torch": torch.__version__,
            "bytes_per_s": copy_bandwidth(device, 2**22 if small else 2**32, context.repeats),
            "operations_per_s": matrix_rate(device, 128 if small else 8192, context.dtype, context.repeats),
        }

    yield "measured", measured


def kernels(context: Context) -> Figures:
    """Every operator: right, and how fast."""
    sizes = operators.TINY if context.small else operators.FULL
    yield from operators.figures(sizes, context.device, context.dtype, context.bandwidth, context.rate, context.repeats)


def tests(context: Context) -> Figures:
    """The kernels' own tests (odd shapes, among NaN) on this device instead of the interpreter."""

    def run() -> dict[str, Any]:
        files = [file for file in sorted(TESTS.glob("test_*.py")) if file.stem not in ("test_engine", "test_compile")]
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder) / "report.xml"
            command = [
                sys.executable,
                "-m",
                "pytest",
                "-q",
                "-c",
                os.devnull,
                "--rootdir",
                str(ROOT),
                "--import-mode=importlib",
            ]
            command += [
                "-p",
                "no:cacheprovider",
                "-W",
                "ignore",
                "-n",
                str(min(8, os.cpu_count() or 1)),
                f"--junitxml={report}",
            ]
            places = os.pathsep.join([str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
            subprocess.run(
                [*command, *map(str, files)], env=os.environ | {"PYTHONPATH": places}, check=False, stdout=sys.stderr
            )
            suite = next(ElementTree.parse(report).iter("testsuite"))
        wrong = [
            each.get("name", "")
            for each in suite.iter("testcase")
            if {part.tag for part in each} & {"failure", "error"}
        ]
        return {"tests": int(suite.get("tests", 0)), "skipped": int(suite.get("skipped", 0)), "failed": wrong[:40]}

    yield "kernels", run


def streams(context: Context) -> Figures:
    """Decoding, prompts, shared prefixes, drafts, masks."""
    model = random_model(context.shape, context.device, context.dtype)
    yield from serving.figures(model, context.load, context.bandwidth, context.rate)


def edit_figures(context: Context) -> Figures:
    """True edits."""
    load = EDITS[context.device.type]
    model = random_model(context.shape, context.device, context.dtype)
    yield from edits.figures(model, edits.tokenizer(load), load)


def quantised(context: Context) -> Figures:
    """One stream and some, with weights of 8 and 4 bits."""
    few = dataclasses.replace(context.load, batches=tuple(n for n in context.load.batches if n in (1, 2, 64)))
    for storage in QUANTISED:
        if storage == "fp8" and context.small:
            continue

        def run(storage: Any = storage) -> dict[str, Any]:
            model = random_model(context.shape, context.device, context.dtype, storage=storage)
            bench = serving.Bench(model, few)
            found = {str(count): bench.rate(count) for count in few.batches}
            share = found["1"] * model.step_bytes / context.bandwidth
            return {"tokens_per_s": found, "step_bytes": model.step_bytes, "share_of_bandwidth_of_one_stream": share}

        yield storage, run


def deterministic(context: Context) -> Figures:
    """What batch-invariant sums cost."""
    model = random_model(context.shape, context.device, context.dtype, deterministic=True)
    bench = serving.Bench(model, context.load)
    for count in context.load.batches[:2] + context.load.batches[4:5]:
        yield str(count), lambda count=count: bench.rate(count)  # type: ignore[misc]


def back_again(context: Context) -> Figures:
    """Conversations that were pushed out of the cache."""
    model, tokenizer = random_model(context.shape, context.device, context.dtype), Tokenizer.load(WEIGHTS)
    yield from returning(model, tokenizer, 400 if context.small else 20_000)


def transformers(context: Context) -> Figures:
    """The same shape by transformers."""
    yield from reference_loop.figures(
        SHAPES[context.shape], context.device, context.dtype, context.load.batches, context.load.new
    )


def vllm(context: Context) -> Figures:
    """The same shape by vLLM."""
    yield "vllm", lambda: reference_vllm.tokens_per_s(SHAPES[context.shape], context.load.batches, context.load.new)


PARTS: dict[str, Callable[[Context], Figures]] = {
    "ceilings": ceilings,
    "operators": kernels,
    "tests": tests,
    "streams": streams,
    "edits": edit_figures,
    "quantised": quantised,
    "deterministic": deterministic,
    "returning": back_again,
    "transformers": transformers,
    "vllm": vllm,
}


def main() -> int:
    """Measure one part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", help="one of " + ", ".join(PARTS) + ", with :SHAPE where it is of one")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--ceilings", type=json.loads, default=[1.0, 1.0], help="bytes and operations per second")
    parser.add_argument("--skip", type=json.loads, default=[], help="figures to leave out, a JSON list")
    parser.add_argument("--batches")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        print("torch finds no CUDA device here; --device cpu --shape tiny shows that the script works", file=sys.stderr)
        return 2
    kind, _, shape = options.part.partition(":")
    load = LOADS[options.device]
    if options.batches is not None:
        load = dataclasses.replace(load, batches=tuple(int(each) for each in options.batches.split(",")))
    context = Context(torch.device(options.device), shape, *options.ceilings, load)
    for key, figure in PARTS[kind](context):
        if key not in options.skip:
            print(json.dumps({"key": key}), flush=True)
            print(json.dumps({"key": key, "value": figure()}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
