"""Runs a command under the collector, contained, and reads what it left. Trusts nothing that it reads."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from dovetail.agent.checks.commands.run import Runner
from dovetail.agent.debug.traces.frames import Frame
from dovetail.agent.sandbox.outcome import Outcome

FOLDER = ".dovetail-collected"
_COMMAND = "(command)"
_MOST_BYTES, _MOST_FILES = 64 << 20, 64


class Call(NamedTuple):
    """A call in a failing test: what was given, and what came back or was raised."""

    path: str
    line: int
    function: str
    given: Mapping[str, str]
    returned: str
    raised: str

    def __str__(self) -> str:
        given = ", ".join(f"{name}={value}" for name, value in self.given.items())
        end = (
            f"raised {self.raised}" if self.raised else f"returned {self.returned}" if self.returned else "did not end"
        )
        return f"{self.function}({given}) {end}"


class Crash(NamedTuple):
    """An exception that failed a test: its frames, innermost first, with the values of their variables."""

    test: str
    what: str
    frames: tuple[Frame, ...]
    values: tuple[Mapping[str, str], ...]


@dataclass
class Observed:
    """What failing and passing tests did."""

    runs: dict[tuple[str, int], set[str]] = field(default_factory=dict)
    """The tests that run each line."""
    failed: set[str] = field(default_factory=set)
    passed: set[str] = field(default_factory=set)
    calls: list[Call] = field(default_factory=list)
    crashes: list[Crash] = field(default_factory=list)

    def take(self, other: Observed) -> None:
        """Add what another run showed; a test that fails in one of them fails."""
        for place, tests in other.runs.items():
            self.runs.setdefault(place, set()).update(tests)
        self.failed |= other.failed
        self.passed = (self.passed | other.passed) - self.failed
        self.calls += other.calls
        self.crashes += other.crashes


def observe(runner: Runner, tree: Path, command: Sequence[str], seconds: float) -> Observed:
    """What the command's Python processes do in a tree; nothing where none of them could be watched."""
    folder = tree / FOLDER
    folder.mkdir()
    here = Path(__file__).parent
    (folder / "dovetail_inside.py").write_bytes(here.joinpath("inside.py").read_bytes())
    start = f"import dovetail_inside\n\ndovetail_inside.start({str(tree)!r}, {str(folder)!r})\n"
    (folder / "sitecustomize.py").write_text(start, "utf-8")
    settings = (
        f'export PYTHONPATH={shlex.quote(str(folder))}"${{PYTHONPATH:+:$PYTHONPATH}}" PYTEST_PLUGINS=dovetail_inside'
    )
    outcome = runner.run(tree, ("/bin/sh", "-c", f'{settings}; exec "$@"', "sh", *command), seconds)
    return _read(folder, outcome)


def _read(folder: Path, outcome: Outcome) -> Observed:
    seen = Observed()
    for file in sorted(folder.glob("seen-*.json"))[:_MOST_FILES]:
        if file.is_symlink() or not file.is_file() or file.stat().st_size > _MOST_BYTES:
            continue
        try:
            seen.take(_observed(json.loads(file.read_bytes()), outcome.ok))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            continue
    return seen


def _observed(data: Mapping[str, Any], passed: bool) -> Observed:
    seen = Observed()
    contexts = data["contexts"]
    for name, each in contexts.items():
        if name == _COMMAND:
            if len(contexts) > 1 or not each["lines"]:
                continue
            failed = bool(each["failed"]) or not passed
        else:
            failed = bool(each["failed"])
        (seen.failed if failed else seen.passed).add(str(name))
        for path, lines in each["lines"].items():
            for line in lines:
                seen.runs.setdefault((str(path), int(line)), set()).add(str(name))
        if failed:
            seen.calls += [_call(call) for call in each["calls"]]
    seen.crashes = list(_crashes(data))
    return seen


def _call(call: Mapping[str, Any]) -> Call:
    given = {str(name): str(value) for name, value in call["given"].items()}
    ends = str(call.get("returned", "")), str(call.get("raised", ""))
    return Call(str(call["path"]), int(call["line"]), str(call["function"]), given, *ends)


def _crashes(data: Mapping[str, Any]) -> Iterator[Crash]:
    for each in data["failures"]:
        frames = tuple(Frame(str(one["path"]), int(one["line"]), str(one["function"])) for one in each["frames"])
        values = tuple({str(name): str(value) for name, value in one["values"].items()} for one in each["frames"])
        yield Crash(str(each["test"]), str(each["what"]), frames, values)
