"""How long until a conversation that was pushed out of the KV cache goes on? From host memory, from disk, and computed again.

    python benchmarks/returning.py [--tokens 20000] [--model DIR] [--rounds 3]

The cache holds one conversation; another one pushes it out, then it comes back with one token asked for. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from dovetail.models.embedded import WEIGHTS
from dovetail.models.loader import LoadedModel, load_model
from dovetail.models.tokenizer import Tokenizer
from dovetail.serve.constrain.base import Constraint
from dovetail.serve.engine.native.loop import NativeEngine, NativeSettings
from dovetail.serve.types import ConstraintSpec, Request, SamplingParams

GIB = 2**30


def no_constraint(spec: ConstraintSpec) -> Constraint:
    """This benchmark sends none."""
    raise AssertionError(spec)


def first_token_s(engine: NativeEngine, number: int, tokens: int) -> float:
    """Seconds from the request to its one token."""
    prompt = tuple((31 * i * (number + 1) + 7) % 450 + 50 for i in range(tokens))
    engine.add(Request(request_id="r", prompt=prompt, sampling=SamplingParams(max_tokens=1, temperature=0.0)))
    start = time.perf_counter()
    while engine.busy:
        engine.step()
    return time.perf_counter() - start


def figures(
    model: LoadedModel, tokenizer: Tokenizer, tokens: int, rounds: int = 3
) -> Iterator[tuple[str, Callable[[], dict[str, float]]]]:
    """Median seconds until the first token of a conversation that comes back: computed again, from host memory, from disk."""
    found: dict[str, float] = {}

    def measured(name: str, sizes: dict[str, Any]) -> dict[str, float]:
        settings = NativeSettings(
            tokens + 16, tokens // 16 + 2, max_batched_tokens=2048, target_step_s=10.0, graphs=False, **sizes
        )
        engine = NativeEngine(model, tokenizer, settings, no_constraint)
        times = []
        for _ in range(rounds):
            first_token_s(engine, 0, tokens)
            first_token_s(engine, 1, tokens)
            times.append(first_token_s(engine, 0, tokens))
        found[name] = statistics.median(times)
        slow = found.get("computed again")
        return {"first_token_s": found[name]} | ({} if slow is None else {"times_faster": slow / found[name]})

    yield "computed again", lambda: measured("computed again", {})
    yield "from host memory", lambda: measured("from host memory", {"host_memory": 4 * GIB})
    with tempfile.TemporaryDirectory() as folder:
        disk = {"host_memory": 64 * 2**20, "disk_folder": Path(folder), "disk_memory": 8 * GIB}
        yield "from disk", lambda: measured("from disk", disk)


def main() -> None:
    """Measure all three in turn, print medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=20_000)
    parser.add_argument("--model", type=Path, default=WEIGHTS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    model, tokenizer = load_model(options.model, dtype="auto", device=options.device), Tokenizer.load(options.model)
    found = {}
    for name, figure in figures(model, tokenizer, options.tokens, options.rounds):
        found[name] = figure()
        print(f"{name}: {found[name]['first_token_s']:.3f} s")
    times = {name: each["first_token_s"] for name, each in found.items()}
    ratios = {name: each["times_faster"] for name, each in found.items()}
    print(
        json.dumps({"benchmark": "returning", "tokens": options.tokens, "first_token_s": times, "times_faster": ratios})
    )


if __name__ == "__main__":
    main()
