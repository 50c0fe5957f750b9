"""What does holding a model to a file's own lines cost? Preparing a file, the first mask, and a mask per quoted token.

Over files of about 100 kB (the standard library's sources, one without repetitions and one of few different lines), with a
vocabulary of 150,000 tokens cut from the same sources. Prepared once per content, so the first figure is paid once; the
masks are those of search/replace blocks, hunks and JSON strings while lines are quoted token by token.

    python benchmarks/copying.py

The last line is one JSON object: prepare_ms_per_100kb, mask_us_p50, mask_us_p99, allows_us_p50 (and more).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import statistics
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from dovetail.serve.constrain.base import Constraint
from dovetail.serve.constrain.copy.escaped import escaped
from dovetail.serve.constrain.vocabulary import Vocabulary
from dovetail.serve.edit.compile import compile_edit
from dovetail.serve.types import EditFormat, EditSpec, SourceFile

LIBRARY = Path(os.__file__).parent
SIZE = 100_000
TOKENS = 150_000
HEADS: dict[EditFormat, str] = {
    "blocks": "{path}\n<<<<<<< SEARCH\n",
    "apply_patch": "*** Begin Patch\n*** Update File: {path}\n@@\n-",
    "str_replace": '{{"file_path": "{path}", "old_string": "',
}


def sources() -> list[str]:
    """The standard library's sources, in order of their names."""
    return [path.read_text(encoding="utf-8", errors="replace") for path in sorted(LIBRARY.glob("*.py"))]


def files(texts: list[str]) -> dict[str, str]:
    """The measured contents by name."""
    rng = random.Random(0)
    joined = "".join(texts)
    usual = joined[: joined.index("\n", SIZE) + 1]
    lines = usual.splitlines(keepends=True)
    few = rng.sample(lines, 40)
    repeated = ""
    while len(repeated) < SIZE:
        repeated += rng.choice(few)
    return {"usual": usual, "forty different lines": repeated, "one line over and over": "x = 1\n" * (SIZE // 6)}


def large_vocabulary(texts: list[str]) -> Vocabulary:
    """Bytes, words with and without a blank in front, their beginnings, and runs of blanks and signs."""
    found: Counter[str] = Counter()
    for text in texts:
        for piece in re.findall(r" ?[A-Za-z_]+| ?\d+| ?[^\sA-Za-z_\d]+|\n[ \t]*|[ \t]+", text):
            found[piece] += 1
            for length in range(2, min(len(piece), 9)):
                found[piece[:length]] += 1
    pieces = [piece.encode() for piece, _ in found.most_common(TOKENS) if len(piece.encode()) > 1]
    spellings = [bytes((byte,)) for byte in range(256)] + pieces[: TOKENS - 256]
    spellings += [b"\x00filler%d" % number for number in range(TOKENS - len(spellings))]
    table = {spelling: token for token, spelling in enumerate(spellings)}
    longest = max(map(len, spellings))

    def encode(text: str) -> list[int]:
        data, tokens, position = text.encode(), [], 0
        while position < len(data):
            length = next(k for k in range(longest, 0, -1) if data[position : position + k] in table)
            tokens.append(table[data[position : position + length]])
            position += length
        return tokens

    return Vocabulary(spellings, encode)


def first_mask(spec: EditSpec, vocabulary: Vocabulary, head: list[int], words: np.ndarray) -> tuple[float, Constraint]:
    """Seconds from the specification to the first mask inside the quotation, and the state there."""
    start = time.process_time()
    state = compile_edit(spec, vocabulary)
    for token in head:
        state = state.advance(token)
    state.mask_into(words)
    return time.process_time() - start, state


def quote(state: Constraint, text: str, vocabulary: Vocabulary, words: np.ndarray) -> list[tuple[float, float]]:
    """Seconds of every mask and of every check of the next token while ``text`` is quoted."""
    found = []
    for token in vocabulary.encode(text):
        begin = time.process_time()
        state.mask_into(words)
        middle = time.process_time()
        allowed = state.allows(token)
        found.append((middle - begin, time.process_time() - middle))
        if not allowed or not words[token // 32] >> (token % 32) & 1:
            raise RuntimeError(f"the file's own text is refused: {text!r}")
        state = state.advance(token)
    return found


def main() -> int:
    """Measure, print a table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quotations", type=int, default=60, help="per file and format")
    options = parser.parse_args()
    texts = sources()
    vocabulary = large_vocabulary(texts)
    compile_edit(EditSpec(files=(SourceFile("warm.txt", "a\nb\n"),)), vocabulary).mask_into(
        np.zeros(vocabulary.words, dtype=np.int32)
    )
    words = np.zeros(vocabulary.words, dtype=np.int32)
    rng = random.Random(1)
    prepared: dict[str, float] = {}
    masks: list[float] = []
    checks: list[float] = []
    table = Table("file", "format", "prepare ms", "mask p50 us", "p99", "allows p50 us", title="Quoting 100 kB files")
    for name, content in files(texts).items():
        lines = content.splitlines(keepends=True)
        for form, head in HEADS.items():
            path = f"{name.replace(' ', '-')}-{form}.txt"
            spec = EditSpec(files=(SourceFile(path, content + f"# {form}\n"),), format=form, syntax="off")
            tokens = vocabulary.encode(head.format(path=path))
            seconds, state = first_mask(spec, vocabulary, tokens, words)
            prepared[f"{name}, {form}"] = seconds * 1e3 * SIZE / len(content)
            times: list[tuple[float, float]] = []
            for _ in range(options.quotations if name == "usual" else 6):
                line = rng.choice(lines) if name == "usual" else lines[-1]
                text = (escaped(line) if form == "str_replace" else line).rstrip("\n")
                times += quote(state, text, vocabulary, words)
            mask, check = ([each[k] * 1e6 for each in times] for k in (0, 1))
            masks += mask if name == "usual" else []
            checks += check if name == "usual" else []
            p99 = statistics.quantiles(mask, n=100)[98]
            row = (seconds * 1e3, statistics.median(mask), p99, statistics.median(check))
            table.add_row(name, form, *(f"{value:.1f}" for value in row))
    Console().print(table)
    report = {
        "benchmark": "copying",
        "prepare_ms_per_100kb": round(max(prepared.values()), 1),
        "prepare_ms": {name: round(value, 1) for name, value in prepared.items()},
        "mask_us_p50": round(statistics.median(masks), 1),
        "mask_us_p99": round(statistics.quantiles(masks, n=100)[98], 1),
        "allows_us_p50": round(statistics.median(checks), 1),
        "masks": len(masks),
        "vocabulary": len(vocabulary),
    }
    print(json.dumps(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
