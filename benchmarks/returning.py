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
from pathlib import Path

from dovetail.models.embedded import WEIGHTS
from dovetail.models.loader import load_model
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


def main() -> None:
    """Measure all three in turn, print medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=20_000)
    parser.add_argument("--model", type=Path, default=WEIGHTS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    model, tokenizer = load_model(options.model, dtype="auto", device=options.device), Tokenizer.load(options.model)
    blocks = options.tokens // 16 + 2
    with tempfile.TemporaryDirectory() as folder:
        tiers = {
            "computed again": {},
            "from host memory": {"host_memory": 4 * GIB},
            "from disk": {"host_memory": 64 * 2**20, "disk_folder": Path(folder), "disk_memory": 8 * GIB},
        }
        found: dict[str, float] = {}
        for name, sizes in tiers.items():
            settings = NativeSettings(options.tokens + 16, blocks, max_batched_tokens=2048, target_step_s=10.0, **sizes)
            engine = NativeEngine(model, tokenizer, settings, no_constraint)
            times = []
            for _ in range(options.rounds):
                first_token_s(engine, 0, options.tokens)
                first_token_s(engine, 1, options.tokens)
                times.append(first_token_s(engine, 0, options.tokens))
            found[name] = statistics.median(times)
            print(f"{name}: {found[name]:.3f} s")
    ratios = {name: found["computed again"] / taken for name, taken in found.items()}
    print(
        json.dumps({"benchmark": "returning", "tokens": options.tokens, "first_token_s": found, "times_faster": ratios})
    )


if __name__ == "__main__":
    main()
