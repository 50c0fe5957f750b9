"""What do structured outputs cost? Masks over a large vocabulary, compilation, and the loss of throughput at eight streams.

    python benchmarks/structured.py [--part masks|throughput|both] [--vocabulary N] [--layers N] [--hidden N] [--threads N]

Masks follow realistic outputs through a vocabulary of N tokens made from the standard library's words. Throughput is the
native engine's with a random model, eight free streams against eight under a schema that never ends, in interleaved rounds;
drafts are off, so that forced text cannot win back what masks cost; rates are per second of CPU time, which others on the
machine disturb less. The last line is one JSON object: ``mask_p99_ms`` is the worst grammar's 99th percentile of all that
is done per token, ``loss_at_8_streams`` the part of the throughput that is lost.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from dovetail.models.embedded import WEIGHTS
from dovetail.models.loader import load_model
from dovetail.models.random_checkpoint import write_random_checkpoint
from dovetail.models.tokenizer import Tokenizer
from dovetail.serve.constrain.grammar.compile import compile_grammar
from dovetail.serve.constrain.grammar.lark import json_rule
from dovetail.serve.constrain.grammar.tokens import tokenizer_of
from dovetail.serve.constrain.vocabulary import Vocabulary
from dovetail.serve.engine.native.loop import NativeEngine, NativeSettings
from dovetail.serve.types import GrammarSpec, Request, SamplingParams

PIECES = re.compile(rb"[A-Za-z]+| [A-Za-z]+|\d{1,3}|\n *| +|[^\sA-Za-z0-9]{1,4}| [^\sA-Za-z0-9]{1,3}")

ITEM: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 40},
        "kind": {"enum": ["function", "class", "module"]},
        "line": {"type": "integer", "minimum": 1},
        "score": {"type": "number"},
        "tags": {"type": "array", "items": {"type": "string", "pattern": "^[a-z][a-z0-9-]*$"}},
        "parent": {"anyOf": [{"type": "null"}, {"type": "object", "properties": {"id": {"type": "string", "format": "uuid"}}, "required": ["id"]}]},
    },
    "required": ["name", "kind", "line", "score", "tags", "parent"],
    "additionalProperties": False,
}  # fmt: skip
VALUE = {"name": "parse the größte file", "kind": "class", "line": 120, "score": -1.5e3, "tags": ["old", "io-2"]}
VALUES = [
    {**VALUE, "parent": None},
    {**VALUE, "parent": {"id": "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "more": {"x": [1, "y"]}}},
] * 4
PATCH_GRAMMAR = """start: "*** Begin Patch" LF hunk+ "*** End Patch" LF?
hunk: "*** Update File: " /(.+)/ LF change+
change: ("@@" | "@@ " /(.+)/ | ("+" | "-" | " ") /(.*)/) LF
%import common.LF
"""
PATCH = "*** Begin Patch\n*** Update File: src/a.py\n@@ def area(width):\n-    return width\n+    return width * 2\n*** End Patch\n"
CALL = f'<tool_call>\n{{"name": "tool_59", "arguments": {json.dumps(VALUES[0], ensure_ascii=False)}}}\n</tool_call>'


def large_vocabulary(size: int) -> Vocabulary:
    """Single bytes, then the standard library's pieces of text by frequency, then pairs of them; one special token."""
    counts: Counter[bytes] = Counter()
    for path in sorted(Path(os.__file__).parent.glob("*.py")):
        counts.update(PIECES.findall(path.read_bytes()))
    pieces = [piece for piece, _ in counts.most_common()]
    spellings = dict.fromkeys([bytes([byte]) for byte in range(256)])
    spellings.update(dict.fromkeys(pieces))
    for first in pieces:
        if len(spellings) >= size:
            break
        spellings.update((first + second, None) for second in pieces[:40])
    tokens: list[bytes | None] = [None, *list(spellings)[: size - 1]]
    made: list[Vocabulary] = []

    def encode(text: str) -> list[int]:
        left, found = text.encode(), list[int]()
        while left:
            found.append(made[0].along(left)[-1])
            left = left[len(made[0].spelling(found[-1]) or b"") :]
        return found

    made.append(Vocabulary(tokens, encode))
    return made[0]


def cases() -> Iterator[tuple[str, GrammarSpec, str]]:
    """Names, grammars, and outputs that follow them."""
    array = {"type": "array", "items": ITEM}
    schema = GrammarSpec(kind="json_schema", source=json.dumps(array))
    yield "schema", schema, json.dumps(VALUES, ensure_ascii=False)
    yield "schema, indented", schema, json.dumps(VALUES, indent=2, ensure_ascii=False)
    yield "any object", GrammarSpec(kind="json_object"), json.dumps({"items": VALUES}, ensure_ascii=False)
    yield (
        "enum of 5,000",
        GrammarSpec(kind="json_schema", source=json.dumps({"enum": [f"item {n}" for n in range(5000)]})),
        '"item 4711"',
    )
    yield (
        "regex",
        GrammarSpec(kind="regex", source=r"(\w+: [^\n]{1,200}\n)*"),
        "name: some text that goes on\nother: 3\n" * 8,
    )
    yield "patch (Lark)", GrammarSpec(kind="lark", source=PATCH_GRAMMAR), PATCH
    yield (
        "60 tools (Lark)",
        GrammarSpec(kind="lark", source=tools_grammar(60)),
        "I will look at the file first. " * 9 + CALL,
    )


def tools_grammar(tools: int) -> str:
    """Free text, then perhaps a call of one of so many tools."""
    call = r'"{\"name\": \"tool_%d\", \"arguments\": " %s "}\n</tool_call>"'
    return "\n".join(
        [
            "start: TEXT | opening call",
            r'opening[lazy]: TEXT "<tool_call>\n"',
            r"TEXT: /(.|\n)*/",
            "call: " + "\n  | ".join(call % (number, json_rule(ITEM)) for number in range(tools)),
        ]
    )


def masks(vocabulary: Vocabulary) -> dict[str, dict[str, float]]:
    """CPU milliseconds to compile each grammar, and of the masks, checks and steps along its output."""
    results: dict[str, dict[str, float]] = {}
    for name, spec, text in cases():
        start = time.thread_time()
        state = compile_grammar(spec, vocabulary)
        compiled = time.thread_time() - start
        words = np.zeros(vocabulary.words, dtype=np.int32)
        times = []
        for token in vocabulary.encode(text):
            start = time.thread_time()
            state.mask_into(words)
            state.may_end()
            state.draft(8)
            assert state.allows(token), f"{name}: {vocabulary.spelling(token)!r} is refused"
            state = state.advance(token)
            times.append(time.thread_time() - start)
        assert state.may_end(), f"{name}: not complete"
        p50, p99 = np.percentile(times, [50, 99]) * 1e3
        results[name] = {
            "compile_ms": compiled * 1e3,
            "p50_ms": p50,
            "p99_ms": p99,
            "max_ms": max(times) * 1e3,
            "tokens": len(times),
        }
    return results


def generate(engine: NativeEngine, spec: GrammarSpec | None, prompt: tuple[int, ...], tokens: int, name: str) -> float:
    """Tokens per CPU second of eight streams, after their prompts and grammars are done with."""
    params = SamplingParams(max_tokens=tokens, temperature=1.0, seed=1, ignore_eos=spec is None)
    for number in range(8):
        engine.add(Request(request_id=f"{name}{number}", prompt=prompt, sampling=params, constraint=spec))
    while engine.stats().running < 8:
        engine.step()
    before, start = engine.stats().generated_tokens, time.process_time()
    while engine.busy:
        engine.step()
    return (engine.stats().generated_tokens - before) / (time.process_time() - start)


def throughput(options: argparse.Namespace) -> dict[str, float]:
    """Median tokens per CPU second at eight streams, free and held, and the loss."""
    tokenizer = Tokenizer.load(WEIGHTS)
    with tempfile.TemporaryDirectory() as folder:
        shape = {"vocab_size": tokenizer.size, "hidden": options.hidden, "layers": options.layers}
        model = load_model(write_random_checkpoint(Path(folder) / "model", **shape))
    vocabulary = Vocabulary([tokenizer.token_bytes(token) for token in range(tokenizer.size)], tokenizer.encode)
    settings = NativeSettings(1024, 1024, 16, 8, 512, max_draft=0)
    engine = NativeEngine(model, tokenizer, settings, lambda spec: compile_grammar(spec, vocabulary))  # type: ignore[arg-type]
    endless = GrammarSpec(kind="json_schema", source=json.dumps({"type": "array", "items": ITEM, "minItems": 1000}))
    prompt = tuple(tokenizer.encode("def area(width, height):\n    return width * height\n"))
    rates: dict[str, list[float]] = {"free": [], "held": []}
    for number in range(options.rounds + 1):
        for name, spec in (("free", None), ("held", endless)):
            rate = generate(engine, spec, prompt, options.tokens, f"{name}{number}-")
            if number:  # the first round warms up
                rates[name].append(rate)
    free, held = (statistics.median(rates[name]) for name in ("free", "held"))
    step_ms = 8 / free * 1e3
    losses = [1 - held / free for free, held in zip(rates["free"], rates["held"], strict=True)]
    return {
        "parameters": model.parameters,
        "step_cpu_ms": round(step_ms, 2),
        "free_tokens_cpu_s": round(free, 1),
        "held_tokens_cpu_s": round(held, 1),
        "loss": round(statistics.median(losses), 4),
    }


def main() -> None:
    """Parse arguments, measure, print tables and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=["masks", "throughput", "both"], default="both")
    parser.add_argument("--vocabulary", type=int, default=150_000)
    parser.add_argument("--hidden", type=int, default=768)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=None)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    report: dict[str, Any] = {"benchmark": "structured", "threads": torch.get_num_threads()}
    if options.part != "throughput":
        vocabulary = large_vocabulary(options.vocabulary)
        start = time.perf_counter()
        tokenizer_of(vocabulary)
        report |= {"vocabulary": len(vocabulary), "vocabulary_ms": round((time.perf_counter() - start) * 1e3, 1)}
        report["masks"] = {
            name: {key: round(value, 3) for key, value in found.items()} for name, found in masks(vocabulary).items()
        }
        report["mask_p99_ms"] = max(found["p99_ms"] for found in report["masks"].values())
        table = Table(
            "grammar", "compile, ms", "p50, ms", "p99, ms", "max, ms", "tokens", title=f"{len(vocabulary):,} tokens"
        )
        for name, found in report["masks"].items():
            table.add_row(name, *(f"{value:.2f}" for value in list(found.values())[:-1]), str(found["tokens"]))
        Console().print(table)
    if options.part != "masks":
        report["throughput"] = throughput(options)
        report["loss_at_8_streams"] = report["throughput"]["loss"]
        Console().print(report["throughput"])
    print(json.dumps(report))


if __name__ == "__main__":
    main()
