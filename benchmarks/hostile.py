"""Looks, in every grammar, for short texts whose repetition takes its parser the most time and memory; by brute force.

Each literal of the grammar, each pair of a sample, and a few wrappers are repeated up to ``--bytes`` and parsed in a process that
has the limits of the server's.
The worst are then measured at several sizes. Last line: one JSON object.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import resource
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from dovetail.serve.constrain.syntax.languages import LANGUAGES, grammar
from dovetail.serve.constrain.syntax.limits import restrain, timed
from dovetail.serve.constrain.syntax.parsing import parse

KNOWN = Path(__file__).parent.parent / "tests/serve/constrain/syntax/hostile.json"
_ENDS = (" ", "\n", "")
_ALWAYS = (
    "/*",
    "//",
    "#",
    '"',
    "'",
    "`",
    "(",
    "[",
    "{",
    "<",
    "=>",
    "x",
    "0",
    ":",
    ",",
    "*",
    "&",
    "\\",
    "$",
    "\u00ff",
    "\u20ac",
    "\t",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--languages", nargs="*", default=sorted(LANGUAGES))
    parser.add_argument("--bytes", type=int, default=2048)
    parser.add_argument("--pairs", type=int, default=300, help="pairs of literals tried in each language")
    parser.add_argument("--keep", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="write what is found to tests/")
    given = parser.parse_args()
    figures: dict[str, object] = {}
    for language in given.languages:
        units = list(_units(language, random.Random(given.seed), given.pairs))
        began = time.monotonic()
        measured = _measured(language, units, given)
        worst = [unit for _, unit in sorted(measured, reverse=True)[: given.keep]]
        figures[language] = {"tried": len(units), "worst": [_grown(language, unit, given.bytes) for unit in worst]}
        print(f"{language}: {len(units)} texts in {time.monotonic() - began:.0f} s: {figures[language]}", flush=True)
        if given.write:
            known = json.loads(KNOWN.read_text()) if KNOWN.exists() else {}
            KNOWN.write_text(json.dumps({**known, language: worst}, indent=1) + "\n")
    print(json.dumps(figures))


def _units(language: str, chance: random.Random, pairs: int) -> Iterator[str]:
    """What is repeated."""
    known = grammar(language)
    kinds = (
        known.node_kind_for_id(number)
        for number in range(known.node_kind_count)
        if not known.node_kind_is_named(number)
    )
    words = sorted({kind for kind in kinds if kind and kind.isprintable() and len(kind) <= 12} | set(_ALWAYS))
    yield from (word + end for word in words for end in _ENDS)
    yield from (f"x{end}{word}{end}" for word in words for end in _ENDS)
    for _ in range(pairs):
        one, other = chance.choice(words), chance.choice(words)
        yield one + chance.choice(_ENDS) + other + chance.choice(_ENDS)
    for _ in range(pairs):
        yield "".join(chance.choice(words) + chance.choice(_ENDS) for _ in range(3))


def repeated(unit: str, size: int) -> bytes:
    """As much of ``unit`` as makes ``size`` bytes."""
    text = unit.encode()
    return (text * (size // len(text) + 1))[:size]


def _cost(language: str, unit: str, size: int) -> tuple[float, int]:
    """Seconds of processor time and bytes that a parse takes here."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    with timed(size, 20.0):
        parse(language, repeated(unit, size))
    return time.process_time() - began, 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)


def _limited() -> None:
    restrain()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # What a parser says when it ends the process.


def _measured(language: str, units: Sequence[str], given: argparse.Namespace) -> list[tuple[float, str]]:
    """The processor time of each text; of one that ends its process, more than any other."""
    found: list[tuple[float, str]] = []
    pending = list(units)
    context = multiprocessing.get_context("fork")
    while pending:
        with ProcessPoolExecutor(given.processes, context, _limited) as pool:
            jobs = [(unit, pool.submit(_cost, language, unit, given.bytes)) for unit in pending]
            done = 0
            try:
                for unit, job in jobs:
                    found.append((job.result()[0], unit))
                    done += 1
            except BrokenProcessPool:
                found.append((float("inf"), pending[done]))
                done += 1
        pending = pending[done:]
    return found


def _grown(language: str, unit: str, size: int) -> dict[str, object]:
    """What the text takes at three sizes, each in a process of its own."""
    told: dict[str, object] = {"text": unit}
    for bytes_ in (size // 2, size, 2 * size):
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _limited) as pool:
            try:
                seconds, memory = pool.submit(_cost, language, unit, bytes_).result()
                told[str(bytes_)] = {"seconds": round(seconds, 3), "mib": memory >> 20}
            except BrokenProcessPool:
                told[str(bytes_)] = "ends its process"
    return told


if __name__ == "__main__":
    main()
