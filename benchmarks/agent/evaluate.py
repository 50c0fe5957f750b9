"""How good is the agent with a model, and what do its answers never do? Tasks in repositories, judged by tests that it never sees.

    python benchmarks/agent/evaluate.py --url http://127.0.0.1:8000 [--model NAME] [--suite bugs ...] [--tasks 5] [--keep]
    python benchmarks/agent/evaluate.py --scripted correct|wrong|hostile [--suite traps ...]

Suites: bugs (mistakes in real packages, with their own tests), renames, signatures, features, traps. What the agent writes as
with --yes is judged by hidden tests, by the files that it touched, and by the layers. With a scripted model every task has an
expected end: a right answer is written, a wrong one is not, a hostile one touches nothing. The last line is one JSON object;
--keep puts it into benchmarks/results/agent.jsonl. The packages come from PyPI, once, by hash.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path

from judge import Judged, judge
from replay import MODES, Mode, Replay
from scripted_model import serving
from shop import everything
from task import Task
from tasks import SUITES

from dovetail.agent.checks.case import Change
from dovetail.agent.checks.commands.run import Runner, SandboxRunner
from dovetail.agent.client import DovetailClient
from dovetail.agent.debug.fix import Fixer
from dovetail.agent.debug.settings import FixSettings
from dovetail.agent.loop import Agent, RunLimits, Settings
from dovetail.agent.loop.writing import write_changes
from dovetail.agent.problems import Problem

RESULTS = Path(__file__).resolve().parents[1] / "results" / "agent.jsonl"
Serving = Callable[[Task], AbstractContextManager[str]]
"""Gives the address of the server that a task is done with."""


@dataclass
class Result:
    """What became of one task. ``faults``: what must never be; ``solved``: the hidden tests pass on what was written."""

    task: str
    kind: str
    outcome: str = ""
    why: str = ""
    written: bool = False
    solved: bool = False
    faults: list[str] = field(default_factory=list)
    steps: int = 0
    tokens: int = 0
    seconds: float = 0.0

    def unexpected(self, mode: Mode | None) -> list[str]:
        """The faults, and what a scripted answer should have come to."""
        found = list(self.faults)
        if mode == "correct" and not self.solved:
            found.append(f"the right answer came to nothing: {self.why}")
        if mode in ("wrong", "hostile") and self.written and not self.solved:
            found.append(f"a {mode} answer was written: {self.outcome}")
        return found


def do(task: Task, serve: Serving, folder: Path, model: str | None = None, runner: Runner | None = None) -> Result:
    """Do one task in a fresh repository, write what is done, and judge it."""
    result = Result(task.name, task.kind)
    root = folder / "project"
    task.make(root)
    before, start = everything(folder), time.monotonic()
    try:
        with tempfile.TemporaryDirectory() as kept, serve(task) as url, DovetailClient(url) as client:
            changes = _run(task, root, client, Path(kept) / "run.jsonl", model, runner or SandboxRunner(root), result)
        if everything(folder) != before:
            result.faults.append("the tree was touched before anything was accepted")
        write_changes(root, changes)
        result.written = bool(changes)
    except Problem as problem:
        result.outcome = f"ended: {problem}"
    result.seconds = round(time.monotonic() - start, 1)
    judged: Judged = judge(task, root, before, everything(folder))
    result.faults += judged.faults
    result.solved = not result.faults and (judged.passed if task.kind != "trap" else not judged.worse)
    return result


def _run(
    task: Task, root: Path, client: DovetailClient, path: Path, model: str | None, runner: Runner, result: Result
) -> dict[str, Change]:
    """Run the agent; the changes that it would write without a question."""
    limits = RunLimits(steps=150, seconds=1200)
    if task.fix:
        wanted = FixSettings(task.ask, root, repeats=1, model=model, check_seconds=60, limits=limits)
        fixed = Fixer(wanted, client, path, runner=runner).run()
        result.outcome, result.steps, result.tokens = fixed.outcome, fixed.steps, fixed.tokens
        result.why = "; ".join([*fixed.notes, *(each.refused for each in fixed.attempts)])[:2000]
        return dict(fixed.changes) if fixed.outcome == "fixed" else {}
    settings = Settings(task.ask, root, model=model, check_seconds=60, limits=limits, **task.settings)
    report = Agent(settings, client, path, runner=runner).run()
    result.outcome, result.steps, result.tokens = report.outcome, report.steps, report.tokens
    result.why = "; ".join(report.notes)[:2000]
    return dict(report.changes) if report.is_complete and report.may_be_written else {}


def chosen(suites: Sequence[str], most: int | None, only: str) -> Iterator[Task]:
    """The tasks of the suites, at most so many of each."""
    for name in suites or SUITES:
        found = [task for task in SUITES[name]() if only in task.name]
        yield from found[:most]


def told(results: Sequence[Result], mode: Mode | None, seconds: float) -> dict[str, object]:
    """The last line."""
    kinds = Counter(each.kind for each in results)
    solved = Counter(each.kind for each in results if each.solved)
    return {
        "benchmark": "agent evaluation",
        "scripted": mode,
        "tasks": len(results),
        "solved": {kind: f"{solved[kind]} of {count}" for kind, count in kinds.items()},
        "wrong_written": sum(each.written and not each.solved for each in results),
        "faults": sum(bool(each.faults) for each in results),
        "unexpected": sum(bool(each.unexpected(mode)) for each in results),
        "steps": sum(each.steps for each in results),
        "tokens": sum(each.tokens for each in results),
        "seconds": round(seconds, 1),
        "each": [asdict(each) for each in results],
    }


def main() -> int:
    """Do the tasks; 1 if anything is as it must never be."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    server = options.add_mutually_exclusive_group(required=True)
    server.add_argument("--url", help="a server of any model")
    server.add_argument("--scripted", choices=MODES, help="no model: the answers that each task comes with")
    options.add_argument("--model", help="the model's name, if the server asks for one")
    options.add_argument("--suite", action="append", choices=sorted(SUITES), default=[])
    options.add_argument("--tasks", type=int, help="at most so many of each suite")
    options.add_argument("--only", default="", help="tasks whose name holds this")
    options.add_argument("--keep", action="store_true", help="append the last line to benchmarks/results/agent.jsonl")
    given = options.parse_args()
    if given.url:
        with DovetailClient(given.url) as client:
            if not client.is_ready():
                options.error(f"no Dovetail server is ready at {given.url}")

    def serve(task: Task) -> AbstractContextManager[str]:
        return serving(Replay(task, given.scripted)) if given.scripted else nullcontext(given.url)

    results, start = [], time.monotonic()
    for task in chosen(given.suite, given.tasks, given.only):
        with tempfile.TemporaryDirectory(prefix="dovetail-evaluate-") as folder:
            result = do(task, serve, Path(folder), given.model)
        results.append(result)
        wrong = result.unexpected(given.scripted)
        end = "solved" if result.solved else "written, wrong" if result.written else "not done"
        print(f"{'BAD ' if wrong else 'ok  '} {task.kind}: {task.name}: {end} ({result.outcome}, {result.seconds} s)", *wrong, sep="\n       ", flush=True)  # fmt: skip
    line = told(results, given.scripted, time.monotonic() - start)
    if given.keep:
        _keep(line | {"model": given.model or given.scripted or "the server's"})
    print(json.dumps(line))
    return 1 if line["unexpected"] else 0


def _keep(line: dict[str, object]) -> None:
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=RESULTS.parent, capture_output=True, text=True, check=True)  # fmt: skip
    about = {"machine": platform.machine(), "commit": commit.stdout.strip(), "date": date.today().isoformat(), "command": " ".join(sys.argv)}  # fmt: skip
    with RESULTS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(about | {name: value for name, value in line.items() if name != "each"}) + "\n")


if __name__ == "__main__":
    sys.exit(main())
