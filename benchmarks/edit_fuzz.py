"""How often is an edit invalid? A tiny model with random weights edits nasty files through the real engine and /v1/edits.

A model that babbles (random weights, embedding and head fitted to bigrams: see bigram_checkpoint.py) proves that validity
comes from the constraint, not from the model. Requests are in every format, with operations, protected lines and gatings
(edit_requests.py); every answer is judged by a checker of its own (edit_checker.py shares no code with the server), and
one in four is sent to /v1/edits/apply as text made elsewhere, which must give the same files.

    python benchmarks/edit_fuzz.py --edits 2000
    python benchmarks/edit_fuzz.py --edits 20000 --jobs 2
    python benchmarks/edit_fuzz.py --every-budget 50      every max_tokens from 1 to the natural length of 50 answers

Behind the first requests with a fault stands what server and engine had logged by then. With --policy, every request also brings a random policy that forbids much, and its answer is checked against that.

The last line is one JSON object: edits, invalid, by_kind, languages, formats (and more).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import httpx
import structlog
import torch
from bigram_checkpoint import ENDINGS, write_bigram_checkpoint
from edit_checker import faults
from edit_requests import FORMATS, Asked, Bias, random_request
from policy_faults import policy_faults
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from dovetail.models.random_checkpoint import MARKER_TOKENS
from dovetail.models.tokenizer import Tokenizer
from dovetail.serve.api.app import create_app
from dovetail.serve.config.server import ServerConfig
from dovetail.serve.engine.inline import InlineEngine
from dovetail.serve.engine.process.worker import Core
from dovetail.serve.engine.vllm.core import VllmCore
from dovetail.serve.hosting import EngineConfig, served_model, vllm_worker_config, worker_config
from dovetail.serve.vllm_worker import load_vllm
from dovetail.serve.worker import load_native

LONGEST_SWEPT = 90
"""Tokens of the longest answer whose budgets are all tried."""


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


async def applied_again(client: httpx.AsyncClient, asked: Asked, answer: dict[str, Any]) -> list[str]:
    """What is wrong with the answer's text as text made elsewhere."""
    body = {"text": answer["text"], "files": asked.body["files"], "format": asked.rules.format, "syntax": "off"}
    response = await client.post("/v1/edits/apply", json=body)
    if response.status_code != 200:
        return [f"text refused: {response.json()['error']['code']}"]
    return [] if response.json()["files"] == answer["files"] else ["text gives other files"]


class Log:
    """The warnings and errors of this process, server and engine: tracebacks and all, until they are taken."""

    def __init__(self) -> None:
        self._said: list[str] = []
        structlog.configure(
            wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
            processors=[structlog.processors.format_exc_info, self._keep],
            cache_logger_on_first_use=False,
        )

    def _keep(self, logger: object, method: str, event: structlog.typing.EventDict) -> NoReturn:
        traceback = event.pop("exception", "")
        self._said.append(f"{method}: {event} {traceback}")
        raise structlog.DropEvent

    def taken(self) -> str:
        """What was said since this was last asked."""
        said, self._said = self._said, []
        return "\n".join(said)


class Tally:
    """What was seen so far. ``log``: asked what was behind a fault."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.counts: Counter[str] = Counter()
        self.by_kind: Counter[str] = Counter()
        self.languages: Counter[str] = Counter()
        self.formats: Counter[str] = Counter()
        self.examples: list[str] = []

    @property
    def edits(self) -> int:
        """Edits and operations on whole files."""
        return self.counts["edits"]

    def take(self, asked: Asked, answer: dict[str, Any], again: list[str]) -> None:
        """Count one answer."""
        made = len(answer["edits"]) + len(answer["operations"])
        self.counts += Counter(
            requests=1,
            edits=made,
            rollbacks=answer["constraint"]["rollbacks"],
            truncated=answer["constraint"]["truncated"],
            changing=sum(edit["search"] != edit["replace"] for edit in answer["edits"]),
            operations=len(answer["operations"]),
        )
        self.formats[asked.rules.format] += made
        for edit in answer["edits"]:
            self.languages[asked.languages.get(edit["path"], "?")] += 1
        if "policy" in asked.body:
            again = [*again, *policy_faults(asked.body["policy"], asked.files, answer)]
        for fault in [*faults(asked.files, asked.rules, answer), *again]:
            self._fault(fault, asked)

    def broken(self, asked: Asked, error: RuntimeError) -> None:
        """Count a request that got no answer."""
        self.counts["requests"] += 1
        self._fault(str(error)[:200], asked)

    def _fault(self, fault: str, asked: Asked) -> None:
        self.counts["invalid"] += 1
        self.by_kind[fault] += 1
        if len(self.examples) < 5:
            self.examples.append(f"{fault} ({', '.join(asked.kinds)}): {json.dumps(asked.body)}\n{self._log.taken()}")

    def add(self, report: dict[str, Any]) -> None:
        """Add another process's last line."""
        for name in ("requests", "edits", "rollbacks", "truncated", "changing", "operations", "invalid", "budgets"):
            self.counts[name] += report[name]
        for name in ("by_kind", "languages", "formats"):
            getattr(self, name).update(report[name])


class Fuzz:
    """A server around a babbling model, and the requests sent to it."""

    def __init__(
        self, client: httpx.AsyncClient, bias: Bias, seed: int, formats: Sequence[str], *, policies: bool = False
    ) -> None:
        self.formats = formats
        self.policies = policies
        self.client = client
        self.bias = bias
        self.rng = random.Random(seed)
        self.tally = Tally(Log())

    async def one(self, asked: Asked) -> dict[str, Any] | None:
        """Ask and judge."""
        try:
            answer = await ask(self.client, asked.body)
        except RuntimeError as error:
            self.tally.broken(asked, error)
            return None
        checked = asked.body["seed"] % 4 == 0
        self.tally.take(asked, answer, await applied_again(self.client, asked, answer) if checked else [])
        return answer

    async def edits(self, wanted: int, at_once: int) -> None:
        """Ask until ``wanted`` edits were made."""
        with Progress(console=Console(stderr=True)) as progress:
            bar = progress.add_task("edits", total=wanted)

            async def work() -> None:
                while self.tally.edits < wanted:
                    await self.one(random_request(self.rng, self.bias, self.formats, policies=self.policies))
                    progress.update(bar, completed=min(self.tally.edits, wanted))

            await asyncio.gather(*(work() for _ in range(at_once)))

    async def every_budget(self, wanted: int, at_once: int) -> None:
        """Every max_tokens from 1 to the natural length of ``wanted`` answers, the formats in turn."""
        formats = sorted(set(self.formats))
        with Progress(console=Console(stderr=True)) as progress:
            bar = progress.add_task("answers", total=wanted)
            for number in range(wanted):
                asked, length = await self._ending(formats[number % len(formats)])
                budgets = iter(range(1, length + 1))

                async def work(asked: Asked = asked, budgets: Any = budgets) -> None:
                    for budget in budgets:
                        await self.one(asked._replace(body={**asked.body, "max_tokens": budget}))
                        self.tally.counts["budgets"] += 1

                await asyncio.gather(*(work() for _ in range(at_once)))
                progress.advance(bar)

    async def _ending(self, name: str) -> tuple[Asked, int]:
        """A request that ends by itself, with an edit, and its answer's length."""
        while True:
            asked = random_request(self.rng, self.bias, [name], policies=self.policies)
            asked = asked._replace(body={**asked.body, "max_tokens": LONGEST_SWEPT})
            answer = await self.one(asked)
            if answer and answer["finish_reason"] == "stop" and (answer["edits"] or answer["operations"]):
                return asked, answer["usage"]["completion_tokens"]


async def run(options: argparse.Namespace) -> Tally:
    """Build a server around a random model in a temporary folder and fuzz it."""
    with tempfile.TemporaryDirectory() as folder:
        directory = write_bigram_checkpoint(Path(folder, "model"), options.seed)
        config, worker, core = load(directory, options.engine)
        engine = InlineEngine(core)
        app = create_app(engine, served_model(config, worker))
        tokenizer = Tokenizer.load(directory)
        markers = sorted({token for text in (*MARKER_TOKENS, *ENDINGS) for token in tokenizer.encode(text)})
        bias = Bias(markers, sorted(tokenizer.eos_ids), tokenizer.encode("\n"))
        transport = httpx.ASGITransport(app=app)
        try:
            async with httpx.AsyncClient(transport=transport, base_url="http://fuzz", timeout=600) as client:
                formats = [options.format] if options.format else FORMATS
                fuzz = Fuzz(client, bias, options.seed, formats, policies=options.policy)
                if options.every_budget:
                    await fuzz.every_budget(options.every_budget, options.concurrency)
                else:
                    await fuzz.edits(options.edits, options.concurrency)
                return fuzz.tally
        finally:
            await engine.close()
            if isinstance(core, VllmCore):
                core.close()


def load(directory: Path, engine: str) -> tuple[ServerConfig, EngineConfig, Core]:
    """The engine over ``directory``."""
    if engine == "vllm":
        config = ServerConfig(
            model=directory, engine="vllm", max_num_seqs=64, max_model_len=4096, engine_arg=("enforce_eager=true",)
        )
        told = vllm_worker_config(config)
        return config, told, load_vllm(told, lambda fraction, what: None)
    config = ServerConfig(model=directory, kv_cache_memory=64 * 2**20, max_num_seqs=32)
    worker = worker_config(config)
    return config, worker, load_native(worker, lambda fraction, what: None)


def in_processes(options: argparse.Namespace) -> Tally:
    """The same work shared by ``--jobs`` processes, each with a model and requests of its own."""
    tally = Tally(Log())
    what = "--every-budget" if options.every_budget else "--edits"
    share = -(-(options.every_budget or options.edits) // options.jobs)
    processes = []
    for job in range(options.jobs):
        arguments = [
            *(["--format", options.format] if options.format else []),
            *(["--policy"] if options.policy else []),
            "--engine",
            options.engine,
            what,
            str(share),
            "--seed",
            str(options.seed + 1_000_003 * job),
        ]
        command = [sys.executable, __file__, *arguments, "--concurrency", str(options.concurrency)]
        processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
    for process in processes:
        said, _ = process.communicate()
        if process.returncode not in (0, 1) or not said.strip():
            raise RuntimeError(f"a process ended with status {process.returncode}")
        tally.add(json.loads(said.strip().split("\n")[-1]))
    return tally


def main() -> int:
    """Parse arguments, run, print a table and the JSON line; status 1 when an edit was invalid."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edits", type=int, default=2000)
    parser.add_argument("--every-budget", type=int, default=0, metavar="ANSWERS")
    parser.add_argument("--format", choices=sorted(set(FORMATS)), help="one format only")
    parser.add_argument("--policy", action="store_true", help="every request brings a harsh policy")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--concurrency", type=int, default=24)
    parser.add_argument("--engine", choices=("native", "vllm"), default="native", help="what runs the model")
    parser.add_argument("--jobs", type=int, default=1, help="processes side by side")
    options = parser.parse_args()
    torch.set_num_threads(1)
    start = time.monotonic()
    tally = in_processes(options) if options.jobs > 1 else asyncio.run(run(options))
    seconds = time.monotonic() - start
    counts = {name: tally.counts[name] for name in ("edits", "invalid", "requests", "changing", "operations")}
    title = f"{counts['edits']} edits in {counts['requests']} requests, {counts['invalid']} invalid"
    table = Table("language", "edits", title=title)
    for language, count in sorted(tally.languages.items()):
        table.add_row(language, str(count))
    Console().print(table)
    for example in tally.examples:
        print(example, file=sys.stderr)
    report = {
        "benchmark": "edit_fuzz",
        **counts,
        "by_kind": dict(tally.by_kind),
        "languages": dict(sorted(tally.languages.items())),
        "formats": dict(sorted(tally.formats.items())),
        "budgets": tally.counts["budgets"],
        "rollbacks": tally.counts["rollbacks"],
        "truncated": tally.counts["truncated"],
        "policy": options.policy,
        "engine": options.engine,
        "seed": options.seed,
        "jobs": options.jobs,
        "cpu_seconds": round(sum(os.times()[:4]), 1),
        "seconds": round(seconds, 1),
    }
    print(json.dumps(report))
    return 1 if counts["invalid"] else 0


if __name__ == "__main__":
    sys.exit(main())
