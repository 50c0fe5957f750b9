"""The agent's demonstration: a task over three files in a copy of an example, with the tests run contained. Starts no server."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

from rich.console import Console

from dovetail.agent.client import DovetailClient
from dovetail.agent.loop.command import run_and_write
from dovetail.agent.loop.settings import Settings
from dovetail.agent.problems import FileProblem

_CANDIDATES = 5


def demonstrate(client: DovetailClient, console: Console) -> int:
    """Do examples/rename's task in a copy of it, and say what happens; the exit code of ``dovetail agent``."""
    example = Path(__file__).resolve().parents[2] / "examples" / "rename"
    try:
        task = json.loads((example / "task.json").read_text(encoding="utf-8"))["task"]
    except OSError as error:
        raise FileProblem(
            f"The demonstration needs the project's examples/ folder, which is not at {example}: run it from a checkout."
        ) from error
    with tempfile.TemporaryDirectory(prefix="dovetail-demo-") as folder:
        root = Path(folder) / "rename"
        shutil.copytree(example, root, ignore=shutil.ignore_patterns("task.json", "__pycache__"))
        console.print(f"\n[bold]dovetail agent[/] “{task}”, in a copy of examples/rename\n")
        settings = Settings(task, root, candidates=_CANDIDATES)
        return run_and_write(settings, client, Path(folder) / "run.jsonl", console)
