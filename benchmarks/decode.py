"""How fast is the native engine on this machine? Prefill, one stream, eight streams, and drafts on repetitive text.

    python benchmarks/decode.py [--model DIR | --shape NAME] [--threads N] [--dtype auto|float32|bfloat16]
                                [--quantize int8|int4] [--rounds N] [--tokens N]

Measures the engine alone, in this process: no HTTP, no constraint. Rounds are interleaved and medians are printed; the
last line is one JSON object. --shape takes random weights of a published model's shape (vocabulary 32,768) instead of a
model directory. For a model larger than the caches, the share of the memory's bandwidth says how close one stream is to
the floor: the bytes a step reads, times steps per second, over what a plain reading of memory reaches in the same run.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import torch
from linear import read_bandwidth
from rich.console import Console
from rich.table import Table

from dovetail.kernels.ops import describe
from dovetail.models.embedded import WEIGHTS
from dovetail.models.loader import load_model
from dovetail.models.random_checkpoint import write_random_checkpoint
from dovetail.models.tokenizer import Tokenizer
from dovetail.serve.constrain.base import Constraint
from dovetail.serve.engine.native.loop import NativeEngine, NativeSettings
from dovetail.serve.types import ConstraintSpec, FinishEvent, Request, SamplingParams

TEXT = "def area(width, height):\n    if width < 0:\n        raise ValueError(width)\n    return width * height\n\n\n"

SHAPES = {
    "qwen2.5-0.5b": {"hidden": 896, "layers": 24, "heads": 14, "kv_heads": 2, "intermediate": 4864},
    "qwen2.5-1.5b": {"hidden": 1536, "layers": 28, "heads": 12, "kv_heads": 2, "intermediate": 8960},
}


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
    parser.add_argument("--tokens", type=int, default=128, help="new tokens of each stream")
    parser.add_argument("--shape", choices=SHAPES)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.shape is None:
        report(options, options.model)
        return
    with tempfile.TemporaryDirectory() as directory:
        shape = {**SHAPES[options.shape], "vocab_size": 32768, "dtype": torch.bfloat16, "tie_word_embeddings": True}
        report(options, write_random_checkpoint(Path(directory) / options.shape, **shape))


def report(options: argparse.Namespace, directory: Path) -> None:
    """Measure the model in ``directory`` and print."""
    start = time.perf_counter()
    dtype = "auto" if options.dtype == "auto" else getattr(torch, options.dtype)
    model = load_model(directory, dtype=dtype, quantize=options.quantize)
    tokenizer = Tokenizer.load(directory)
    load_s = time.perf_counter() - start
    bandwidth = read_bandwidth(3)
    engines = {
        draft: NativeEngine(model, tokenizer, NativeSettings(2048, 1024, 16, 8, 512, max_draft=draft), no_constraint)
        for draft in (0, 32)
    }
    unit = tokenizer.encode(TEXT)
    prompt = tuple((unit * 512)[:512])
    new = options.tokens
    cases = {
        "prefill 512, tokens/s": (0, [prompt], 1, 512),
        "1 stream, tokens/s": (0, [prompt[:32]], new, new),
        "8 streams, tokens/s": (0, [prompt[: 32 + i] for i in range(8)], new, 8 * new),
        "1 stream drafted, repetitive, tokens/s": (32, [prompt[:128]], new, new),
    }
    rates: dict[str, list[float]] = {name: [] for name in cases}
    passes: dict[str, int] = {}
    for number in range(options.rounds + 1):
        for name, (draft, prompts, max_tokens, tokens) in cases.items():
            seconds, passes[name] = run(engines[draft], prompts, max_tokens, f"{name}-{number}")
            if number:  # the first round warms up
                rates[name].append(tokens / seconds)
    bandwidth = max(bandwidth, read_bandwidth(3))
    share = statistics.median(rates["1 stream, tokens/s"]) * model.step_bytes / 1e9 / bandwidth
    table = Table("case", "median", "passes", title=f"{directory.name}: {model.parameters / 1e6:.1f} M parameters")
    for name, values in rates.items():
        table.add_row(name, f"{statistics.median(values):,.0f}", str(passes[name]))
    Console().print(table)
    Console().print(
        f"{model.step_bytes / 1e6:.0f} MB a step: one stream reads at {share:.0%} of {bandwidth:.1f} GB/s",
        highlight=False,
    )
    print(
        json.dumps(
            {
                "benchmark": "decode",
                "parameters": model.parameters,
                "weights": model.storage,
                "kernels": describe(),
                "step_bytes": model.step_bytes,
                "read_gb_per_s": round(bandwidth, 1),
                "share_of_bandwidth": round(share, 3),
                "load_s": round(load_s, 3),
                "threads": torch.get_num_threads(),
                "rates": {name: round(statistics.median(values), 1) for name, values in rates.items()},
                "passes": passes,
            }
        )
    )


if __name__ == "__main__":
    main()
