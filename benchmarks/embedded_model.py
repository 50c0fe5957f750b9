"""What the server makes of the embedded model on packages it never saw: edits held to the constraint, gaps of one line, renames.

    python benchmarks/embedded_model.py [--model DIR] [--edits 80] [--gaps 100] [--renames 10] [--write]

Edits are the documents of which `models/embedded/report.py` takes free answers: there as the model writes them, here by
`/v1/edits`. Gaps are those of `models/embedded/evaluate.py`, asked by `/v1/completions` with a suffix. Renames are the task of
`dovetail demo --agent` with other names: a function in three files, done by the agent, checked by tests. ``--write`` puts the
result into the directory's manifest.json and README.md. Needs the held-out wheels (see models/embedded/README.md). The last line
is one JSON object.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import httpx

from dovetail.agent.client import DovetailClient, ServerProblem
from dovetail.agent.loop import Agent, Settings
from dovetail.models.embedded import WEIGHTS, evaluate, report, sources
from dovetail.serve.config.server import ServerConfig
from dovetail.serve.server_process import start_server_process

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "rename"
NEW_NAMES = (
    "compute_price",
    "final_price",
    "discounted",
    "price_after_discount",
    "netPrice",
    "get_net_price2",
    "_reduced",
    "quantile",
    "zorbify",
    "apply_discount_to_cents",
)


def edits(url: str, held_out: tuple[sources.SourceFile, ...], count: int) -> dict[str, int]:
    """Greedy edits under the constraint: answered, parsing, exactly as expected."""
    counts = {"answers": 0, "valid": 0, "parse": 0, "exact": 0}
    documents = evaluate.documents(held_out, evaluate.HELD_OUT_SEED + 1, 1000)
    with DovetailClient(url) as client:
        for document in itertools.islice(documents, count):
            branch = document.branches[0]
            counts["answers"] += 1
            files = [{"path": path, "content": content} for path, content in document.files]
            try:
                answer = client.edit(files, branch.instruction, temperature=0, max_tokens=300)
            except ServerProblem as problem:
                print(f"no answer: {problem}")
                continue
            after = dict(document.files) | {each["path"]: each["content"] for each in answer["files"]}
            counts["valid"] += 1
            counts["parse"] += all(map(evaluate.parses, after.values()))
            counts["exact"] += tuple(after[path] for path, _ in document.files) == branch.expected
    return counts


def gaps(url: str, held_out: tuple[sources.SourceFile, ...], count: int) -> dict[str, int]:
    """Gaps of one line, through the server's own form of the question."""
    counts = {"answers": 0, "exact": 0}
    with httpx.Client(base_url=url, timeout=120, trust_env=False) as client:
        model = client.get("/v1/models").json()["data"][0]["id"]
        for before, middle, after in evaluate.gaps(held_out, count):
            body = {"model": model, "prompt": before, "suffix": after, "temperature": 0, "max_tokens": 80}
            text = client.post("/v1/completions", json=body).raise_for_status().json()["choices"][0]["text"]
            counts["answers"] += 1
            counts["exact"] += text == middle
    return counts


def renames(url: str, count: int) -> dict[str, Any]:
    """The agent's demonstration with new names of several shapes: which ones it brings to an end."""
    done = []
    with DovetailClient(url) as client:
        for new in NEW_NAMES[:count]:
            with tempfile.TemporaryDirectory(prefix="dovetail-renames-") as folder:
                root = Path(folder) / "rename"
                shutil.copytree(EXAMPLE, root, ignore=shutil.ignore_patterns("task.json", "__pycache__"))
                settings = Settings(f"Rename the function net_price to {new}", root, candidates=5)
                report = Agent(settings, client, Path(folder) / "run.jsonl", listener=lambda event: None).run()
                done += [new] if report.is_complete else []
    return {"asked": list(NEW_NAMES[:count]), "done": done}


def main() -> None:
    """Serve, ask, count, and print."""
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--model", type=Path, default=WEIGHTS)
    parse.add_argument("--cache", type=Path, default=sources.DEFAULT_CACHE)
    parse.add_argument("--edits", type=int, default=80)
    parse.add_argument("--gaps", type=int, default=100)
    parse.add_argument("--renames", type=int, default=len(NEW_NAMES), help="how many of the new names to try")
    parse.add_argument("--write", action="store_true", help="put the result into the manifest and the README")
    options = parse.parse_args()
    held_out = sources.read_held_out(options.cache)
    config = ServerConfig(model=options.model, kv_cache_memory=64 * 2**20, log_level="warning")
    server = start_server_process(config, lambda share, stage: None)
    try:
        measured: dict[str, Any] = {
            "edits": edits(server.url, held_out, options.edits),
            "gaps": gaps(server.url, held_out, options.gaps),
            "renames": renames(server.url, options.renames),
        }
    finally:
        server.stop()
    if options.write:
        report.add_served(options.model, measured)
    print(json.dumps({"benchmark": "embedded", **measured}))


if __name__ == "__main__":
    main()
