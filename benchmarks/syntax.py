"""What does the syntax recogniser cost per sampled token, and does it agree with tree-sitter? In every language.

For each language a file of about 5,000 lines is made of the tests' snippets. In random places, lines are replaced by
themselves and by nonsense, token by token, with random tokens tried in between; then the rest of the file is asked for.
Refuses to report where a true token is refused or the recogniser and tree-sitter disagree.

    python benchmarks/syntax.py [--lines 5000] [--edits 60] [--languages python,go] [--python-loop]
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dovetail.serve.constrain.syntax.checkpoints import Checkpoints
from dovetail.serve.constrain.syntax.languages import LANGUAGES
from dovetail.serve.constrain.syntax.parsing import parse
from dovetail.serve.constrain.syntax.recogniser import Recogniser

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "serve" / "constrain" / "syntax"))
from snippets import SOURCES

TOKEN = re.compile(rb" ?[A-Za-z_]{1,8}|\d{1,3}|\n+[ \t]*|[ \t]+|[^\w\s]{1,2}|.", re.DOTALL)
COLUMNS = (
    "language",
    "p50_us",
    "p99_us",
    "max_us",
    "refused",
    "rest_p50_us",
    "rest_p99_us",
    "pass_ms",
    "tree_sitter_ms",
)


def long_file(language: str, lines: int) -> bytes:
    """The language's snippets over and over."""
    pieces = [source.encode() for source in SOURCES[language]]
    if language == "json":
        items = [piece.rstrip() for piece in pieces]
        count = lines * len(items) // sum(piece.count(b"\n") + 1 for piece in items)
        return b"[\n" + b",\n".join(items[place % len(items)] for place in range(count)) + b"\n]\n"
    text = (b"...\n" if language == "yaml" else b"").join([*pieces, b""])
    return text * max(1, lines // text.count(b"\n"))


def quantile(values: list[float], share: float) -> float:
    """In microseconds."""
    return round(sorted(values)[min(len(values) - 1, int(len(values) * share))] * 1e6, 1) if values else 0.0


def edits(text: bytes, count: int, rng: random.Random) -> Iterator[tuple[int, int, bytes]]:
    """Line ranges and what takes their place: half of them unchanged, half with tokens swapped or lost."""
    starts = [0, *(found.end() for found in re.finditer(rb"\n", text))]
    for place in range(count):
        first = rng.randrange(len(starts) - 1)
        last = min(len(starts) - 1, first + rng.randrange(1, 30))
        replacement = text[starts[first] : starts[last]]
        if place % 2:
            tokens = TOKEN.findall(replacement)
            spot = rng.randrange(len(tokens))
            tokens[spot : spot + 1] = rng.choice([[], [tokens[spot]] * 2, [rng.choice(tokens)]])
            replacement = b"".join(tokens)
        yield starts[first], starts[last], replacement


def measure(language: str, options: argparse.Namespace) -> dict[str, Any]:
    """One row of the table."""
    rng = random.Random(options.seed)
    text = long_file(language, options.lines)
    began = time.perf_counter()
    if parse(language, text).root_node.has_error:
        raise SystemExit(f"{language}: the file to measure on has an error")
    parsed = time.perf_counter() - began
    recogniser = Recogniser(language, False if options.python_loop else None)
    checkpoints = Checkpoints(recogniser, text, valid=True)
    began = time.perf_counter()
    if not checkpoints.before(len(text)).accepts():
        raise SystemExit(f"{language}: tree-sitter reads the file, the recogniser does not")
    passed = time.perf_counter() - began
    vocabulary = sorted(set(TOKEN.findall(text)))
    checks: list[float] = []
    rests: list[float] = []
    refused = tried = 0
    for start, end, replacement in edits(text, options.edits, rng):
        state = checkpoints.before(start)
        alive = True
        for token in TOKEN.findall(replacement):
            for candidate in (rng.choice(vocabulary), token):
                began = time.perf_counter()
                after = state.feed(candidate)
                checks.append(time.perf_counter() - began)
                tried += 1
                refused += after is None
            if after is None:
                alive = False
                break
            state = after
        if not alive and replacement == text[start:end]:
            raise SystemExit(f"{language}: a true token was refused")
        verdict: bool | None = False
        if alive:
            began = time.perf_counter()
            verdict = checkpoints.rejoins(state, end)
            rests.append(time.perf_counter() - began)
        truth = not parse(language, text[:start] + replacement + text[end:]).root_node.has_error
        if verdict is not None and verdict != truth:
            raise SystemExit(f"{language}: tree-sitter says {truth}, the recogniser {verdict}: {replacement!r}")
    figures = quantile(checks, 0.5), quantile(checks, 0.99), quantile(checks, 1), round(refused / tried, 3)
    times = quantile(rests, 0.5), quantile(rests, 0.99), round(passed * 1e3, 1), round(parsed * 1e3, 1)
    return dict(zip(COLUMNS, (language, *figures, *times), strict=True))


def main() -> None:
    """The table, and its figures as one JSON object."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--lines", type=int, default=5000)
    arguments.add_argument("--edits", type=int, default=60)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--languages", default=",".join(LANGUAGES))
    arguments.add_argument("--python-loop", action="store_true", help="measure the reference, not the loop in C")
    options = arguments.parse_args()
    print("".join(f"{column:>15}" for column in COLUMNS))
    rows = []
    for language in options.languages.split(","):
        rows.append(measure(language, options))
        print("".join(f"{rows[-1][column]!s:>15}" for column in COLUMNS), flush=True)
    native = Recogniser("json", False if options.python_loop else None).native
    worst = {key: max(row[key] for row in rows) for key in ("p50_us", "p99_us", "max_us", "rest_p99_us", "pass_ms")}
    print(
        json.dumps(
            {"native": native, "machine": platform.machine(), "lines": options.lines, "worst": worst, "rows": rows}
        )
    )


if __name__ == "__main__":
    main()
