"""How fast is the native engine on this machine? Prefill, one stream, eight streams, and drafts on repetitive text.

    python benchmarks/decode.py [--model DIR] [--threads N] [--dtype auto|float32|bfloat16] [--quantize int8|int4]

Measures the engine alone, in this process: no HTTP, no constraint. Rounds are interleaved and medians are printed; the
last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from dovetail.kernels.ops import describe
from dovetail.models.embedded import WEIGHTS
from dovetail.models.loader import load_model
from dovetail.models.tokenizer import Tokenizer
from dovetail.serve.constrain.base import Constraint
from dovetail.serve.engine.native.loop import NativeEngine, NativeSettings
from dovetail.serve.types import ConstraintSpec, FinishEvent, Request, SamplingParams

TEXT = "def area(width, height):\n    if width < 0:\n        raise ValueError(width)\n    return width * height\n\n\n"


def no_constraint(spec: ConstraintSpec) -> Constraint:
    """This benchmark sends none."""
    raise AssertionError(spec)


def run(engine: NativeEngine, prompts: list[tuple[int, ...]], max_tokens: int, name: str) -> tuple[float, int]:
    """Seconds and forward passes until all prompts have ``max_tokens`` new tokens."""
    params = SamplingParams(max_tokens=max_tokens, temperature=0.0, ignore_eos=True)
    for number, prompt in enumerate(prompts):
        request_id = f"{name}-{number}"
        # A salt of its own: nothing may be found in the prefix cache of an earlier round.
        engine.add(Request(request_id=request_id, prompt=prompt, sampling=params, cache_salt=request_id))
    start, passes = time.perf_counter(), 0
    while engine.busy:
        for event in engine.step():
            if isinstance(event, FinishEvent):
                passes = max(passes, event.usage.forward_passes)
    return time.perf_counter() - start, passes


def main() -> None:
    """Parse arguments, measure in interleaved rounds, print a table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=WEIGHTS)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--dtype", choices=["auto", "float32", "bfloat16"], default="auto")
    parser.add_argument("--quantize", choices=["int8", "int4"])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    start = time.perf_counter()
    dtype = "auto" if options.dtype == "auto" else getattr(torch, options.dtype)
    model = load_model(options.model, dtype=dtype, quantize=options.quantize)
    tokenizer = Tokenizer.load(options.model)
    load_s = time.perf_counter() - start
    engines = {
        draft: NativeEngine(model, tokenizer, NativeSettings(2048, 1024, 16, 8, 512, max_draft=draft), no_constraint)
        for draft in (0, 32)
    }
    unit = tokenizer.encode(TEXT)
    prompt = tuple((unit * 512)[:512])
    cases = {
        "prefill 512, tokens/s": (0, [prompt], 1, 512),
        "1 stream, tokens/s": (0, [prompt[:32]], 128, 128),
        "8 streams, tokens/s": (0, [prompt[: 32 + i] for i in range(8)], 128, 1024),
        "1 stream drafted, repetitive, tokens/s": (32, [prompt[:128]], 128, 128),
    }
    rates: dict[str, list[float]] = {name: [] for name in cases}
    passes: dict[str, int] = {}
    for number in range(options.rounds + 1):
        for name, (draft, prompts, max_tokens, tokens) in cases.items():
            seconds, passes[name] = run(engines[draft], prompts, max_tokens, f"{name}-{number}")
            if number:  # the first round warms up
                rates[name].append(tokens / seconds)
    table = Table("case", "median", "passes", title=f"{options.model.name}: {model.parameters / 1e6:.1f} M parameters")
    for name, values in rates.items():
        table.add_row(name, f"{statistics.median(values):,.0f}", str(passes[name]))
    Console().print(table)
    print(
        json.dumps(
            {
                "benchmark": "decode",
                "parameters": model.parameters,
                "weights": model.storage,
                "kernels": describe(),
                "load_s": round(load_s, 3),
                "threads": torch.get_num_threads(),
                "rates": {name: round(statistics.median(values), 1) for name, values in rates.items()},
                "passes": passes,
            }
        )
    )


if __name__ == "__main__":
    main()
