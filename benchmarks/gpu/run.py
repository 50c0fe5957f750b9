"""How near to its limits does Dovetail run on this GPU? Checks all kernels, then measures kernels and whole models.

    python benchmarks/gpu/run.py [--shape 0.5b --shape 7b --shape 30b-a3b] [--out FILE]
    python benchmarks/gpu/run.py --device cpu --shape tiny

Weights are random and made on the device. The two ceilings (bytes per second of a large copy, operations per second of a large
matrix product) are measured in the same run, and everything is said as a share of the one that binds it. The last line is one JSON
object. Ends with 1 if a kernel computes something else than its reference, with 2 where there is no such device. On a CPU it only shows
that the script itself works: figures of tiny shapes mean nothing.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import platform
import sys
from pathlib import Path
from typing import Any

import edits
import operators
import reference_loop
import reference_vllm
import serving
import torch
from clock import copy_bandwidth, matrix_rate
from shapes import SHAPES, random_model

from dovetail.models.tokenizer import Tokenizer

FULL_SHAPES = ("0.5b", "7b", "30b-a3b")
LOADS = {"cpu": serving.TINY, "cuda": serving.FULL}
EDITS = {"cpu": edits.TINY, "cuda": edits.FULL}


def main(arguments: list[str] | None = None) -> int:
    """Parse, check, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--shape", action="append", choices=SHAPES, help="repeatable; default: all three large ones")
    parser.add_argument("--skip-models", action="store_true", help="only the kernels")
    parser.add_argument("--batches", help="streams at once, such as 1,8,64")
    parser.add_argument("--out", type=Path, help="append the JSON object to this file, too")
    options = parser.parse_args(arguments)
    if options.device == "cuda" and not torch.cuda.is_available():
        print("torch finds no CUDA device here; --device cpu --shape tiny shows that the script works", file=sys.stderr)
        return 2
    shapes = options.shape or list(FULL_SHAPES)
    if options.device == "cpu" and any(not shape.startswith("tiny") for shape in shapes):
        parser.error("on a CPU there are only --shape tiny and --shape tiny-experts")
    result = report(options, shapes)
    line = json.dumps(result)
    if options.out is not None:
        with options.out.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
    print(line)
    return 0 if all(row["right"] for row in result["operators"]) else 1


def report(options: argparse.Namespace, shapes: list[str]) -> dict[str, Any]:
    """All figures, printed as they come."""
    device, small = torch.device(options.device), options.device == "cpu"
    dtype = torch.float32 if small else torch.bfloat16
    repeats = 2 if small else 50
    bandwidth = copy_bandwidth(device, 2**22 if small else 2**32, repeats)
    rate = matrix_rate(device, 128 if small else 8192, dtype, repeats)
    name = platform.processor() or "a CPU" if small else torch.cuda.get_device_name(device)
    print(f"{name}: copies {bandwidth / 1e9:,.0f} GB/s, multiplies {rate / 1e12:,.2f} TFLOP/s ({dtype})")
    rows = operators.measure(operators.TINY if small else operators.FULL, device, dtype, bandwidth, rate, repeats)
    for row in rows:
        told = "right" if row["right"] else "WRONG"
        print(
            f"  {row['operator']:30} {told} ({row['difference']:.1e})  {row['microseconds']:10,.1f} us  "
            f"{row['share_of_ceiling']:6.1%} of the {row['ceiling']} ceiling"
        )
    models: dict[str, Any] = {}
    tokens = edits.tokenizer(EDITS[device.type])
    for shape in () if options.skip_models else shapes:
        models[shape] = model_figures(options, shape, tokens, device, dtype, bandwidth, rate)
        print(f"  {shape}: {json.dumps(models[shape])}")
    return {
        "benchmark": "gpu",
        "device": name,
        "torch": torch.__version__,
        "copy_gb_per_s": bandwidth / 1e9,
        "matrix_tflop_per_s": rate / 1e12,
        "operators": rows,
        "models": models,
    }


def model_figures(
    options: argparse.Namespace,
    shape: str,
    tokens: Tokenizer,
    device: torch.device,
    dtype: torch.dtype,
    bandwidth: float,
    rate: float,
) -> dict[str, Any]:
    """One shape: our engine, its edits, the same with batch-invariant sums, and other engines beside it."""
    load = LOADS[device.type]
    if options.batches is not None:
        load = dataclasses.replace(load, batches=tuple(int(each) for each in options.batches.split(",")))
    model = random_model(shape, device, dtype)
    found = serving.measure(model, load, bandwidth, rate)
    found["edits"] = edits.measure(model, tokens, EDITS[device.type])
    del model
    if device.type == "cuda":
        torch.cuda.empty_cache()
        fixed = serving.Bench(random_model(shape, device, dtype, deterministic=True), load)
        found["deterministic_tokens_per_s"] = {str(count): fixed.rate(count) for count in load.batches[:2]}
        del fixed
        torch.cuda.empty_cache()
    found["transformers"] = reference_loop.tokens_per_s(SHAPES[shape], device, dtype, load.batches, load.new)
    if device.type == "cuda":
        torch.cuda.empty_cache()
        found["vllm"] = reference_vllm.tokens_per_s(SHAPES[shape], load.batches, load.new)
    return found


if __name__ == "__main__":
    sys.exit(main())
