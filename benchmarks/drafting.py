"""What do drafts gain on text that repeats, and what do they cost on text that does not?

    python benchmarks/drafting.py [--model DIR] [--quantize int8|int4] [--rounds N] [--threads N]

Teacher-forced (see teacher.py), greedy, one stream, no constraint: a file repeated with one line changed, with and without
the client's ``prediction`` of the unchanged file, and random tokens, which no drafter can know. Each case with drafts and
without in turn, on the embedded model and on 47 million random parameters (or on ``--model``); prompts are not timed.
Ratios are of decode rates, medians over the rounds. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import tempfile
import textwrap
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from code_model import TIMING, write_code_model
from rich.console import Console
from rich.table import Table
from teacher import Classroom

from dovetail.models.embedded import WEIGHTS
from dovetail.serve.constrain.base import Constraint
from dovetail.serve.types import ConstraintSpec

DRAFTS = 32
CHARACTERS = 1_200


class Case(NamedTuple):
    """What the engine reads, what it is told to say, and what the client predicts."""

    name: str
    prompt: list[int]
    truth: list[int]
    prediction: tuple[int, ...] = ()


def no_constraint(spec: ConstraintSpec) -> Constraint:
    """This benchmark sends none."""
    raise AssertionError(spec)


def cases(room: Classroom) -> list[Case]:
    """The cases in the room's own tokens."""
    encode = room.tokenizer.encode
    source = Path(textwrap.__file__).read_text(encoding="utf-8")
    lines = source[: source.index("\n", CHARACTERS) + 1].splitlines(keepends=True)
    before = "".join(lines)
    lines[len(lines) // 2] = "    # this line was written anew for the occasion\n"
    prompt = encode(f"{before}\nRepeat this file with line {len(lines) // 2 + 1} changed:\n\n")
    after = encode("".join(lines))
    chance = random.Random(0)
    noise = [chance.randrange(min(1_000, room.tokenizer.size), room.tokenizer.size - 8) for _ in range(256)]
    return [
        Case("repeat", prompt, after),
        Case("repeat, predicted", prompt, after, tuple(encode(before))),
        Case("random tokens", prompt, noise),
    ]


def rate(room: Classroom, case: Case) -> tuple[float, int]:
    """Tokens per second behind the first pass, and passes."""
    run = room.run(case.prompt, case.truth, prediction=case.prediction)
    tokens = sum(each.tokens for each in run.passes[1:])
    return tokens / run.decode_seconds, len(run.passes)


def measure(directory: Path, rounds: int, quantize: str | None) -> dict[str, dict[str, float]]:
    """For every case: the rates with and without drafts, their ratio, and passes."""
    rooms = [Classroom(directory, no_constraint, draft, quantize=quantize) for draft in (DRAFTS, 0)]
    found: dict[str, dict[str, float]] = {}
    for case in cases(rooms[0]):
        rates: tuple[list[float], list[float]] = ([], [])
        passes = 0
        for number in range(rounds + 1):
            for which in (0, 1) if number % 2 else (1, 0):
                speed, count = rate(rooms[which], case)
                passes = count if which == 0 else passes
                if number:  # the first round warms up
                    rates[which].append(speed)
        found[case.name] = {
            "drafted": round(statistics.median(rates[0]), 1),
            "plain": round(statistics.median(rates[1]), 1),
            "ratio": round(statistics.median(a / b for a, b in zip(*rates, strict=True)), 3),
            "tokens": len(case.truth),
            "passes": passes,
        }
    return found


def main() -> None:
    """Measure, print a table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, action="append", help="instead of the two models; may be given again")
    parser.add_argument("--quantize", choices=["int8", "int4"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    results: dict[str, dict[str, dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        directories = options.model or [WEIGHTS, write_code_model(Path(folder) / "random-47M", TIMING["47m"])]
        for directory in directories:
            results[directory.name] = measure(directory, options.rounds, options.quantize)
    table = Table("model", "case", "with drafts, tokens/s", "without", "ratio", "passes for tokens")
    for model, found in results.items():
        for name, each in found.items():
            counts = f"{each['passes']:.0f} for {each['tokens']:.0f}"
            table.add_row(
                model, name, f"{each['drafted']:,.0f}", f"{each['plain']:,.0f}", f"{each['ratio']:.2f}", counts
            )
    Console().print(table)
    print(json.dumps({"benchmark": "drafting", "quantize": options.quantize, "results": results}))


if __name__ == "__main__":
    main()
