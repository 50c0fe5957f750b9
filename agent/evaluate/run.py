"""Runs a suite: task after task, each sample kept as it comes, so that a run that was cut off goes on where it was."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dovetail.agent.client import DovetailClient
from dovetail.agent.evaluate.suite import Sample, Suite, digest_of
from dovetail.agent.problems import FileProblem, ServerProblem, ServerUnreachable

FORMAT = 1
Progress = Callable[[int, int], None]
"""Told how many samples there are, of how many."""


@dataclass(frozen=True)
class Deployment:
    """What is measured: a model's name, and the fingerprint of the deployment; ``unknown``: the server has no card.

    ``quantisation`` and ``digest`` (of the model's files): as the card tells them.
    """

    model: str
    fingerprint: str
    quantisation: str = ""
    digest: str | None = None


def deployment_of(client: DovetailClient, model: str | None = None, seconds: float = 60.0) -> Deployment:
    """What answers there, once it has loaded its models; None: the first one.

    Raises:
        ServerProblem: it takes longer than ``seconds``, or has no such model.
    """
    until = time.monotonic() + seconds
    while not client.is_ready():
        if time.monotonic() > until:
            raise ServerUnreachable(f"No server with its model loaded answers at {client.url}.")
        time.sleep(0.2)
    names = [str(each["id"]) for each in client.models()]
    if model is not None and model not in names:
        raise ServerProblem(f"{client.url} serves no model {model!r}; it serves {', '.join(names)}.")
    name = model or (names[0] if names else "unknown")
    card = client.system_card()
    if card is None:
        return Deployment(name, "unknown")
    told = next((each for each in card.get("beside", ()) if each["model"]["name"] == name), card)
    kind = str(told.get("quantisation", {}).get("kind", ""))
    return Deployment(name, str(told["fingerprint"]), kind, told.get("model", {}).get("digest"))


def run(
    suite: Suite, client: DovetailClient, of: Deployment, folder: Path, seed: int, command: str, progress: Progress
) -> Path:
    """The file of the result. Raises ServerProblem; what was measured until then is kept for the next run.

    Raises:
        FileProblem: the folder cannot be written.
    """
    digest = digest_of(suite.tasks)
    identity = hashlib.sha256(f"{suite.name} {digest} {of.model} {of.fingerprint}".encode()).hexdigest()[:16]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / f"{suite.name}-{identity}.samples.jsonl"
        started, samples = _taken_up(partial)
        with partial.open("a", encoding="utf-8") as kept:
            for at, sample in _asked(suite, client, set(samples)):
                samples[at] = sample
                kept.write(json.dumps({"task": at, "at": started, "sample": sample}) + "\n")
                kept.flush()
                progress(len(samples), len(suite.tasks))
        finished = _now()
        result = {
            "object": "evaluation",
            "format": FORMAT,
            "suite": suite.name,
            "suite_digest": digest,
            "about": suite.about,
            "model": of.model,
            "fingerprint": of.fingerprint,
            "quantisation": of.quantisation,
            "model_digest": of.digest,
            "seed": seed,
            "started": started,
            "finished": finished,
            "command": command,
            "complete": True,
            "metrics": [asdict(metric) for metric in suite.metrics([samples[at] for at in sorted(samples)])],
        }
        stem = f"{suite.name}-{of.fingerprint}-{finished.replace(':', '').replace('-', '')}"
        partial.replace(folder / f"{stem}.samples.jsonl")
        path = folder / f"{stem}.json"
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        raise FileProblem(f"Results cannot be kept in {folder}: {error}.") from error
    return path


def read_result(path: Path) -> dict[str, Any]:
    """A result of an earlier run. Raises FileProblem."""
    try:
        result = json.loads(path.read_text("utf-8"))
        if result["object"] != "evaluation" or result["format"] != FORMAT:
            raise ValueError("it is something else")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FileProblem(f"{path} is no result of an evaluation: {error}") from error
    return dict(result)


def _asked(suite: Suite, client: DovetailClient, done: set[int]) -> Iterator[tuple[int, Sample]]:
    """Every sample that is missing, as it comes."""
    waiting = [at for at in range(len(suite.tasks)) if at not in done]
    pool = ThreadPoolExecutor(suite.parallel)
    try:
        asked = {pool.submit(suite.ask, client, suite.tasks[at]): at for at in waiting}
        for future in as_completed(asked):
            yield asked[future], future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _taken_up(partial: Path) -> tuple[str, dict[int, Sample]]:
    """When the run began, and what it has; a last line that was cut off is left out."""
    samples: dict[int, Sample] = {}
    started = _now()
    if partial.is_file():
        whole = partial.read_text("utf-8")
        kept = whole[: whole.rfind("\n") + 1]
        if kept != whole:
            partial.write_text(kept, encoding="utf-8")
        for line in kept.splitlines():
            entry = json.loads(line)
            samples[int(entry["task"])] = entry["sample"]
            started = str(entry["at"])
    return started, samples


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
