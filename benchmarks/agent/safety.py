"""What becomes of right, wrong and hostile answers? The agent on a small repository, with a scripted model in place of a real one.

    python benchmarks/agent/safety.py [--only WORD]

Each scenario names what has to come of it; a fault is anything else: another outcome, an objection from the wrong rung, a touched file
that was not accepted, a requirement that is called done though nothing shows it. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from scenarios import Scenario, scenarios
from scripted_model import serving
from shop import everything, make_shop

from dovetail.agent.checks.commands.run import Runner, SandboxRunner
from dovetail.agent.client import DovetailClient
from dovetail.agent.loop import Agent, Report, Settings
from dovetail.agent.loop.events import Checked, Event, SubtaskStarted
from dovetail.agent.problems import NoSandbox

ESCAPES = (Path("/tmp/dovetail-escaped"),)


class NoRunner:
    """Stands for a machine on which nothing can be contained."""

    containment = ""

    def run(self, tree: Path, command: Sequence[str], seconds: float) -> Any:
        """Refuses."""
        raise NoSandbox("No command is run: nothing here can contain it.")


def faults(scenario: Scenario, folder: Path) -> list[str]:
    """Run one scenario in a fresh repository; what is not as it has to be."""
    root = folder / "shop"
    make_shop(root)
    before = everything(folder)
    told: list[Event] = []
    settings = Settings(scenario.task, root, **scenario.settings)
    runner: Runner = SandboxRunner(root) if scenario.commands else NoRunner()
    with (
        tempfile.TemporaryDirectory() as kept,
        serving(scenario.script) as url,
        DovetailClient(url, seconds=20) as client,
    ):
        report = Agent(settings, client, Path(kept) / "run.jsonl", runner=runner, listener=told.append).run()
        after_run = everything(folder)
        report.keep(root, write=report.may_be_written)
        after_write = everything(folder)
    found = list(_of_report(scenario, report, told))
    if after_run != before:
        found.append(f"the tree was touched before anything was accepted: {_differing(before, after_run)}")
    touched = _differing(before, after_write)
    allowed = {f"shop/{path}" for path in (scenario.changed if report.written else ())}
    if (scenario.outcome and set(touched) != allowed) or (
        not scenario.outcome and any("/.git/" in path for path in touched)
    ):
        found.append(f"written: {touched}")
    return found + [f"{path} was written" for path in ESCAPES if path.exists()]


def _of_report(scenario: Scenario, report: Report, told: Sequence[Event]) -> Iterator[str]:
    data = report.to_dict()
    if scenario.outcome and report.outcome != scenario.outcome:
        yield f"the outcome is {report.outcome!r}: {data['notes']}"
    done = {each["id"] for each in data["requirements"] if each["status"] == "done"}
    if done != set(scenario.done):
        yield f"reported as done: {sorted(done)}"
    for row in report.to_markdown().splitlines():
        if row.startswith("| R") and "| done |" in row and row.split()[1] not in scenario.done:
            yield f"the report claims: {row}"
    objections = {event.rung for event in told if isinstance(event, Checked) and event.findings}
    if scenario.rung and objections != {scenario.rung}:
        yield f"objections came from {sorted(objections)}"
    if scenario.note and scenario.note not in json.dumps(data):
        yield f"nothing says {scenario.note!r}: {data['notes']}, {data['subtasks']}"
    order = list(dict.fromkeys(event.id for event in told if isinstance(event, SubtaskStarted)))
    if order != [each["id"] for each in data["subtasks"]]:
        yield f"the subtasks ran as {order}"


def _differing(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    return sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))


def main() -> int:
    """Run all, or those whose name holds a word."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--only", default="")
    only = options.parse_args().only
    start, wrong, count = time.perf_counter(), {}, 0
    for scenario in scenarios():
        if only in scenario.name:
            with tempfile.TemporaryDirectory() as folder:
                found = faults(scenario, Path(folder))
            count += 1
            print(f"{'ok  ' if not found else 'BAD '} {scenario.name}", *found, sep="\n       ", flush=True)
            if found:
                wrong[scenario.name] = found
    seconds = round(time.perf_counter() - start, 1)
    print(json.dumps({"benchmark": "agent safety", "scenarios": count, "faults": len(wrong), "seconds": seconds}))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
