"""The last commits that touched suspicious lines, asked of git. Changes nothing, runs nothing of the repository's."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dovetail.agent.debug.suspects import Function

_SECONDS = 20
_HEAD = re.compile(r"^([0-9a-f]{40,64}) \d+ (\d+)")


@dataclass(frozen=True)
class Touched:
    """The newest commit in the lines of a function; ``commit`` is empty where they are not committed yet."""

    path: str
    function: str
    commit: str
    summary: str
    time: int

    def __str__(self) -> str:
        what = f'commit {self.commit[:10]} ("{self.summary}")' if self.commit else "a change that is not committed yet"
        return f"{self.function} in {self.path} was last touched by {what}"


def last_changes(root: Path, functions: Sequence[Function]) -> list[Touched]:
    """For each function that git knows, its newest commit; the newest first."""
    found = [touched for each in functions if (touched := _newest(root, each)) is not None]
    return sorted(found, key=lambda touched: -touched.time)


def _newest(root: Path, function: Function) -> Touched | None:
    lines = f"{function.line},{max(function.line, function.last_line)}"
    command = ["git", "-c", "core.fsmonitor=false", "blame", "--porcelain", "-L", lines, "--", function.path]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment |= {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C", "GIT_NO_LAZY_FETCH": "1"}
    try:
        done = subprocess.run(command, cwd=root, env=environment, capture_output=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    commit, best = "", None
    facts: dict[str, dict[str, str]] = {}
    for line in done.stdout.decode("utf-8", "replace").split("\n"):
        if head := _HEAD.match(line):
            commit = head[1]
            facts.setdefault(commit, {})
        elif commit and not line.startswith("\t"):
            name, _, value = line.partition(" ")
            facts[commit].setdefault(name, value)
    for commit, told in facts.items():
        when = int(told.get("committer-time", "0") or 0)
        if best is None or when > best.time:
            new = not commit.strip("0")
            summary = "" if new else told.get("summary", "")[:120]
            best = Touched(function.path, function.name, "" if new else commit, summary, when)
    return best
