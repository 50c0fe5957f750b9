"""How often is an edit invalid? A tiny model with random weights edits nasty files through the real engine and /v1/edits.

A model that babbles (random weights, embedding and head fitted to bigrams: see bigram_checkpoint.py) proves that validity
comes from the constraint, not from the model. Every answer is judged by a checker of
its own (it shares no code with the server): foreign path, text not found, ambiguous, overlapping, wrong line numbers,
unparsable file, patch that `git apply` refuses.

    python benchmarks/edit_fuzz.py --edits 2000

The last line is one JSON object: edits, invalid, by_kind, languages (and more).
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import importlib
import itertools
import json
import logging
import random
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import structlog
import torch
import tree_sitter
from bigram_checkpoint import write_bigram_checkpoint
from nasty_files import nasty_file
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from dovetail.models.random_checkpoint import MARKER_TOKENS
from dovetail.models.tokenizer import Tokenizer
from dovetail.serve.api.app import create_app
from dovetail.serve.config import ServerConfig
from dovetail.serve.engine.inline import InlineEngine
from dovetail.serve.wiring import served_model, worker_config
from dovetail.serve.worker import load_native

GRAMMARS = {
    "python": ("tree_sitter_python", "language"),
    "javascript": ("tree_sitter_javascript", "language"),
    "typescript": ("tree_sitter_typescript", "language_typescript"),
    "tsx": ("tree_sitter_typescript", "language_tsx"),
    "go": ("tree_sitter_go", "language"),
    "rust": ("tree_sitter_rust", "language"),
    "java": ("tree_sitter_java", "language"),
    "c": ("tree_sitter_c", "language"),
    "cpp": ("tree_sitter_cpp", "language"),
    "json": ("tree_sitter_json", "language"),
    "bash": ("tree_sitter_bash", "language"),
}


def parses(language: str, content: str) -> bool:
    """Whether the whole file parses, by the language's own parser for Python and by tree-sitter for all."""
    if language == "off":
        return True
    module, function = GRAMMARS[language]
    grammar = tree_sitter.Language(getattr(importlib.import_module(module), function)())
    if language == "bash":  # its scanner may crash on characters beyond Latin-1
        content = "".join(character if ord(character) < 256 else "\u00ff" for character in content)
    if tree_sitter.Parser(grammar).parse(content.encode()).root_node.has_error:
        return False
    if language == "python":
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                ast.parse(content)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return False
    return True


def faults(files: dict[str, tuple[str, str]], answer: dict[str, Any]) -> list[str]:
    """Everything wrong with an answer. ``files``: path -> (language, content)."""
    found: list[str] = []
    taken: dict[str, list[tuple[int, int, str]]] = {}
    for edit in answer["edits"]:
        if edit["path"] not in files:
            found.append("foreign path")
            continue
        content = files[edit["path"]][1].encode()
        search = edit["search"].encode()
        if not search and content:
            found.append("empty search in a file that is not empty")
            continue
        start = content.find(search)
        if start < 0:
            found.append("not found")
            continue
        if content.find(search, start + 1) >= 0 and content:
            found.append("ambiguous")
        end = start + len(search)
        if (start and content[start - 1 : start] != b"\n") or (end < len(content) and not search.endswith(b"\n")):
            found.append("not whole lines")
        first = content[:start].count(b"\n") + 1
        last = content[: max(start, end - 1)].count(b"\n") + 1
        if content and (edit["start_line"], edit["end_line"]) != (first, last):
            found.append(f"wrong lines {edit['start_line']}-{edit['end_line']}, not {first}-{last}")
        taken.setdefault(edit["path"], []).append((start, end, edit["replace"]))
    results = {file["path"]: file["content"] for file in answer["files"]}
    for path, places in taken.items():
        language, content = files[path]
        places.sort()
        if any(before[1] > after[0] for before, after in itertools.pairwise(places)):
            found.append("overlapping")
            continue
        data = content.encode()
        for start, end, replace in reversed(places):
            data = data[:start] + replace.encode() + data[end:]
        edited = data.decode()
        if edited != results.get(path, content):
            found.append("files differ from the edits")
        if parses(language, content) and not parses(language, edited):
            found.append("unparsable")
    if not found and answer["patch"] and not applies(files, results, answer["patch"]):
        found.append("git apply refuses the patch")
    return found


def applies(files: dict[str, tuple[str, str]], results: dict[str, str], patch: str) -> bool:
    """Whether ``git apply`` turns the files into the results, byte for byte."""
    with tempfile.TemporaryDirectory() as folder:
        for path, (_, content) in files.items():
            target = Path(folder, path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content.encode())
        command = ["git", "-c", "core.autocrlf=false", "apply", "--whitespace=nowarn", "-"]
        if subprocess.run(command, input=patch.encode(), cwd=folder, capture_output=True, check=False).returncode:
            return False
        return all(Path(folder, path).read_bytes() == content.encode() for path, content in results.items())


def make_request(
    rng: random.Random, tokenizer: Tokenizer
) -> tuple[dict[str, Any], dict[str, tuple[str, str]], list[str]]:
    """A random request, its files by path, and the kinds of difficulty in it."""
    picked = {entry[2]: entry for entry in (nasty_file(rng) for _ in range(rng.choice([1, 1, 2, 3])))}
    markers = {token: rng.uniform(0, 5) for text in MARKER_TOKENS for token in tokenizer.encode(text)}
    ends = {token: rng.uniform(-3, 1) for token in tokenizer.eos_ids}
    newlines = {token: rng.uniform(-1, 1) for token in tokenizer.encode("\n")}
    body = {
        "instruction": "change something",
        "files": [{"path": path, "content": content} for _, _, path, content in picked.values()],
        "max_tokens": rng.choice([rng.randrange(1, 40), rng.randrange(40, 500)]),
        "temperature": rng.choice([0.0, 0.7, 1.0, 1.5]),
        "seed": rng.randrange(2**31),
        "logit_bias": {str(token): bias for token, bias in {**markers, **ends, **newlines}.items()},
    }
    if rng.random() < 0.2:
        body["stream"] = True
    files = {path: (language, content) for language, _, path, content in picked.values()}
    return body, files, [kind for _, kind, _, _ in picked.values()]


async def ask(client: httpx.AsyncClient, body: dict[str, Any]) -> dict[str, Any]:
    """The answer to one request, streamed or whole."""
    response = await client.post("/v1/edits", json=body)
    if response.status_code != 200:
        raise RuntimeError(f"HTTP {response.status_code}: {response.text}")
    if not body.get("stream"):
        answer: dict[str, Any] = response.json()
        return answer
    name, data = response.text.strip().split("\n\n")[-1].split("\n", maxsplit=1)
    if name != "event: edits.completed":
        raise RuntimeError(f"the stream ended with {name}: {data}")
    completed: dict[str, Any] = json.loads(data.removeprefix("data: "))
    return completed


class Tally:
    """What was seen so far."""

    def __init__(self) -> None:
        self.requests = self.edits = self.invalid = self.rollbacks = self.truncated = self.unlike = 0
        self.by_kind: Counter[str] = Counter()
        self.languages: Counter[str] = Counter()
        self.examples: list[str] = []

    def take(self, body: dict[str, Any], files: dict[str, tuple[str, str]], kinds: list[str], answer: Any) -> None:
        """Count one answer."""
        self.requests += 1
        self.edits += len(answer["edits"])
        self.rollbacks += answer["constraint"]["rollbacks"]
        self.truncated += answer["constraint"]["truncated"]
        self.unlike += sum(edit["search"] != edit["replace"] for edit in answer["edits"])
        for edit in answer["edits"]:
            self.languages[files[edit["path"]][0] if edit["path"] in files else "?"] += 1
        wrong = faults(files, answer)
        self.invalid += len(wrong)
        for fault in wrong:
            self.by_kind[fault] += 1
            if len(self.examples) < 5:
                self.examples.append(f"{fault} ({', '.join(kinds)}): {json.dumps(body)}")


async def fuzz(client: httpx.AsyncClient, tokenizer: Tokenizer, wanted: int, seed: int, at_once: int) -> Tally:
    """Ask until ``wanted`` edits were made."""
    tally = Tally()
    rng = random.Random(seed)
    with Progress(console=Console(stderr=True)) as progress:
        bar = progress.add_task("edits", total=wanted)

        async def work() -> None:
            while tally.edits < wanted:
                body, files, kinds = make_request(rng, tokenizer)
                tally.take(body, files, kinds, await ask(client, body))
                progress.update(bar, completed=min(tally.edits, wanted))

        await asyncio.gather(*(work() for _ in range(at_once)))
    return tally


async def run(wanted: int, seed: int, at_once: int) -> Tally:
    """Build a server around a random model in a temporary folder and fuzz it."""
    with tempfile.TemporaryDirectory() as folder:
        directory = write_bigram_checkpoint(Path(folder, "model"), seed)
        config = ServerConfig(model=directory, kv_cache_memory=64 * 2**20, max_num_seqs=32)
        worker = worker_config(config)
        engine = InlineEngine(load_native(worker, lambda fraction, what: None))
        app = create_app(engine, served_model(config, worker))
        transport = httpx.ASGITransport(app=app)
        try:
            async with httpx.AsyncClient(transport=transport, base_url="http://fuzz", timeout=600) as client:
                return await fuzz(client, Tokenizer.load(directory), wanted, seed, at_once)
        finally:
            await engine.close()


def main() -> int:
    """Parse arguments, run, print a table and the JSON line; status 1 when an edit was invalid."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edits", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--concurrency", type=int, default=16)
    options = parser.parse_args()
    torch.set_num_threads(1)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    start = time.monotonic()
    tally = asyncio.run(run(options.edits, options.seed, options.concurrency))
    seconds = time.monotonic() - start
    table = Table(
        "language", "edits", title=f"{tally.edits} edits in {tally.requests} requests, {tally.invalid} invalid"
    )
    for language, count in sorted(tally.languages.items()):
        table.add_row(language, str(count))
    Console().print(table)
    for example in tally.examples:
        print(example, file=sys.stderr)
    print(
        json.dumps(
            {
                "benchmark": "edit_fuzz",
                "edits": tally.edits,
                "invalid": tally.invalid,
                "by_kind": dict(tally.by_kind),
                "languages": dict(sorted(tally.languages.items())),
                "requests": tally.requests,
                "changing": tally.unlike,
                "rollbacks": tally.rollbacks,
                "truncated": tally.truncated,
                "seed": options.seed,
                "seconds": round(seconds, 1),
            }
        )
    )
    return 1 if tally.invalid else 0


if __name__ == "__main__":
    sys.exit(main())
