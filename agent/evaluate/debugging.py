"""Mistakes put into functions that bring examples: the suite lets ``dovetail agent --fix`` mend them, and runs the examples again."""

from __future__ import annotations

import random
import shlex
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dovetail.agent.client import DovetailClient
from dovetail.agent.debug.fix import Fixer
from dovetail.agent.debug.settings import FixSettings
from dovetail.agent.evaluate.mutants import mutants
from dovetail.agent.evaluate.pieces import MODULE, Piece, judged, test_file
from dovetail.agent.evaluate.statistics import Metric, share
from dovetail.agent.evaluate.suite import Sample, Task
from dovetail.agent.loop import RunLimits

COMMAND = f"{shlex.quote(sys.executable)} -m unittest -q"
_TRIED = 6
"""Mutants of each function that are looked at."""


@dataclass(frozen=True)
class Debugging:
    """The suite."""

    tasks: Sequence[Task]
    name: str = "debugging"
    about: str = "Mistakes put into functions that bring examples (an operator, a comparison, a number), mended by dovetail agent --fix."
    parallel: int = 1

    def ask(self, client: DovetailClient, task: Task) -> Sample:
        """One mistake."""
        with tempfile.TemporaryDirectory(prefix="dovetail-eval-") as folder:
            root = Path(folder) / "project"
            write(root, task["files"])
            wanted = FixSettings(
                COMMAND, root, repeats=1, check_seconds=30, limits=RunLimits(steps=60, tokens=200_000, seconds=300)
            )
            report = Fixer(wanted, client, Path(folder) / "run.jsonl").run()
        changed = {path: change.after for path, change in report.changes.items()} if report.outcome == "fixed" else {}
        after = {**task["files"], **changed}
        passed = judged([(after[f"{MODULE}.py"] or "", task["tests"])])[0]
        return {
            "found": any(each.name == task["function"] for each in report.suspects[:1]),
            "written": bool(changed),
            "mended": bool(changed) and all(passed),
            "outcome": report.outcome,
        }

    def metrics(self, samples: Sequence[Sample]) -> list[Metric]:
        """Shares."""
        written = [each for each in samples if each["written"]]
        made = [
            share("mended", [each["mended"] for each in samples], "mistakes mended: every example holds again"),
            share("found", [each["found"] for each in samples], "mistakes whose function is the first suspect"),
        ]
        if written:
            right = [each["mended"] for each in written]
            made.append(share("right", right, "of the changes that it would write: those that mend"))
        return made


def debugging_tasks(found: Sequence[Piece], count: int, seed: int) -> list[Task]:
    """``count`` mistakes that at least one example notices; the functions in turn."""
    tried = [(piece, made) for piece in found for made in _chosen(piece, seed)]
    results = judged([(piece.imports + "\n\n" + made, piece.tests) for piece, made in tried])
    by_function: dict[str, list[Task]] = {}
    for (piece, made), passed in zip(tried, results, strict=True):
        if all(passed):
            continue
        files = {
            f"{MODULE}.py": f"{piece.imports}\n\n{made}" if piece.imports else made,
            f"test_{MODULE}.py": test_file(piece, f"from {MODULE} import *\nfrom {MODULE} import {piece.name}"),
        }
        by_function.setdefault(piece.text, []).append(
            {"function": piece.name, "files": files, "tests": list(piece.tests)}
        )
    rounds = [each for turn in range(_TRIED) for tasks in by_function.values() for each in tasks[turn : turn + 1]]
    return rounds[:count]


def _chosen(piece: Piece, seed: int) -> list[str]:
    made = list(mutants(piece.text))
    random.Random(f"{seed} {piece.name}").shuffle(made)
    return made[:_TRIED]


def write(root: Path, files: dict[str, str]) -> None:
    """A project."""
    root.mkdir(parents=True)
    for path, text in files.items():
        (root / path).write_text(text, encoding="utf-8")
