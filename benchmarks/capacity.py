"""Does `dovetail plan` predict what is measured? Calibrated on one shape, it predicts another on this machine's CPU.

    python benchmarks/capacity.py [--known qwen2.5-0.5b] [--predicted qwen2.5-1.5b] [--quantize int8|int4] [--rounds N]
                                  [--folder DIR] [--prepare] [--wait]

Bandwidth, matrix rate and the shares of them that the engine reaches are measured on the known shape: 1 and 8 streams, and a prompt
of 512 tokens. From these the estimate's formulas predict the other shape, which is then measured, in interleaved rounds: the same
three, and 4 streams. No figure of the other shape is used to predict it. The last line is one JSON object; ``errors``: predicted over
measured, less 1. ``--folder`` keeps the random checkpoints for the next run; ``--prepare`` only makes them. ``--wait``: loaded,
wait for a line on standard input, which says that the machine is quiet.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

import torch
from decode import SHAPES, TEXT, no_constraint, run
from linear import read_bandwidth
from rich.console import Console
from rich.table import Table

from dovetail.models.loader import LoadedModel, load_model
from dovetail.models.random_checkpoint import write_random_checkpoint
from dovetail.models.tokenizer import Tokenizer
from dovetail.serve.capacity.estimate import decode_step_s, prefill_s
from dovetail.serve.capacity.shapes import Machine, Model
from dovetail.serve.engine.native.loop import NativeEngine, NativeSettings

PROMPT, START, NEW = 512, 32, 32
FEW, STREAMS = 4, 8
WARM_UP = 4


def checkpoint(name: str, folder: Path) -> Path:
    """The directory of the shape's random weights; made where it is not there."""
    if not (folder / name).exists():
        shape = {**SHAPES[name], "vocab_size": 32768, "dtype": torch.bfloat16, "tie_word_embeddings": True}
        write_random_checkpoint(folder / f"{name}.part", **shape).rename(folder / name)
    return folder / name


class Measured:
    """One shape: seconds of its cases, round after round."""

    def __init__(self, name: str, folder: Path, quantize: str | None) -> None:
        directory = checkpoint(name, folder)
        self.loaded: LoadedModel = load_model(directory, quantize=quantize)  # type: ignore[arg-type]
        tokenizer = Tokenizer.load(directory)
        settings = NativeSettings(1024, 1024, 16, STREAMS, 512, max_draft=0)
        self._engine = NativeEngine(self.loaded, tokenizer, settings, no_constraint)
        self._prompt = tuple((tokenizer.encode(TEXT) * PROMPT)[:PROMPT])
        self._rounds: dict[str, list[float]] = {"prompt": [], "alone": [], "few": [], "together": []}
        config = self.loaded.config
        self.model = Model(
            name=name,
            parameters=self.loaded.parameters,
            active=self.loaded.parameters,
            layers=config.num_layers,
            kv_width=config.kv_size,
            weight_bytes=self.loaded.step_bytes / self.loaded.parameters,
            kv_bytes=4.0,
        )

    def round(self, number: int) -> None:
        """Every case once; the first round warms up."""
        prompts = [self._prompt[: START + at] for at in range(STREAMS)]
        new = NEW if number else WARM_UP
        cases = {"prompt": ([self._prompt], 1), "alone": (prompts[:1], new), "few": (prompts[:FEW], new)}
        for case, (asked, tokens) in {**cases, "together": (prompts, new)}.items():
            seconds, passes = run(self._engine, asked, tokens, f"{case}{number}")
            if number:
                self._rounds[case].append(seconds / passes)

    def seconds(self, case: str) -> float:
        """Of a prompt, or of one step."""
        return statistics.median(self._rounds[case])


def calibrated(known: Measured, bandwidth: float) -> Machine:
    """This machine, as the known shape shows it."""
    model = known.model
    per_row = (known.seconds("together") - known.seconds("alone")) / (STREAMS - 1)
    reading = max(1e-9, known.seconds("alone") - per_row)
    rate = 2.0 * model.active * PROMPT / known.seconds("prompt")
    return Machine(
        name="this machine",
        memory=1.0,
        bandwidth=bandwidth,
        rate=rate,
        reads=model.bytes / reading / bandwidth,
        computes=1.0,
        decodes=2.0 * model.active / per_row / rate,
        overlaps=False,
        step_s=0.0,
    )


def main() -> None:
    """Measure both, predict one from the other, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--known", choices=SHAPES, default="qwen2.5-0.5b")
    parser.add_argument("--predicted", choices=SHAPES, default="qwen2.5-1.5b")
    parser.add_argument("--quantize", choices=["int8", "int4"], default="int8")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where the checkpoints are kept")
    parser.add_argument("--prepare", action="store_true")
    parser.add_argument("--wait", action="store_true")
    options = parser.parse_args()
    if options.known == options.predicted:
        parser.error("a shape cannot be predicted from itself")
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder if options.folder is not None else Path(temporary)
        if options.prepare:
            print([str(checkpoint(name, folder)) for name in (options.known, options.predicted)])
            return
        known = Measured(options.known, folder, options.quantize)
        other = Measured(options.predicted, folder, options.quantize)
        if options.wait:
            print("loaded", flush=True)
            sys.stdin.readline()
        bandwidth = read_bandwidth(3) * 1e9
        for number in range(options.rounds + 1):
            known.round(number)
            other.round(number)
    machine = calibrated(known, bandwidth)
    context = START + NEW / 2
    rows = {
        f"{count} stream{'s' if count > 1 else ''}, tokens/s": (
            count / decode_step_s(other.model, machine, count, context),
            count / other.seconds(case),
        )
        for case, count in (("alone", 1), ("few", FEW), ("together", STREAMS))
    } | {
        f"prompt of {PROMPT}, tokens/s": (
            PROMPT / prefill_s(other.model, machine, PROMPT),
            PROMPT / other.seconds("prompt"),
        ),
    }
    table = Table(
        "case", "predicted", "measured", "error", title=f"{options.predicted} from {options.known}, {options.quantize}"
    )
    for case, (predicted, measured) in rows.items():
        table.add_row(case, f"{predicted:,.1f}", f"{measured:,.1f}", f"{predicted / measured - 1:+.0%}")
    Console().print(table)
    print(
        json.dumps(
            {
                "benchmark": "capacity",
                "known": options.known,
                "predicted": options.predicted,
                "weights": options.quantize,
                "read_gb_per_s": round(bandwidth / 1e9, 1),
                "share_of_bandwidth": round(machine.reads, 3),
                "predicted_rates": {case: round(predicted, 1) for case, (predicted, _) in rows.items()},
                "rates": {case: round(measured, 1) for case, (_, measured) in rows.items()},
                "errors": {case: round(predicted / measured - 1, 3) for case, (predicted, measured) in rows.items()},
            }
        )
    )


if __name__ == "__main__":
    main()
