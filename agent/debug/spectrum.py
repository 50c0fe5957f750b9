"""Which lines failing tests run and passing ones do not: spectrum-based localisation by Ochiai. Runs no test."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import NamedTuple

from dovetail.agent.problems import Problem


class Suspect(NamedTuple):
    """A line and how suspicious it is: 1 if exactly the failing tests run it, 0 if none does."""

    path: str
    line: int
    score: float


def ochiai(runs: Mapping[tuple[str, int], Collection[str]], failed: Collection[str]) -> list[Suspect]:
    """Lines by suspicion, the most suspicious first; lines that no failing test runs are left out.

    ``runs``: the tests that run each line (path, number). The score is ef / sqrt(F * (ef + ep)), with F failing tests,
    of which ef run the line, and ep passing ones that do.
    """
    failing = set(failed)
    suspects = []
    for (path, line), tests in runs.items():
        tests = set(tests)
        hits = len(tests & failing)
        if hits:
            suspects.append(Suspect(path, line, hits / math.sqrt(len(failing) * len(tests))))
    return sorted(suspects, key=lambda suspect: (-suspect.score, suspect.path, suspect.line))


def read_contexts(report: str) -> dict[tuple[str, int], set[str]]:
    """Which tests run which lines, from ``coverage json --show-contexts`` of a run with ``pytest --cov-context=test``.

    Raises:
        Problem: the report says nothing about contexts.
    """
    runs: defaultdict[tuple[str, int], set[str]] = defaultdict(set)
    try:
        for path, facts in json.loads(report)["files"].items():
            for line, contexts in facts["contexts"].items():
                # pytest-cov adds the phase (setup, run, teardown) behind a bar; the empty context is import time
                runs[path, int(line)] |= {name for each in contexts if (name := each.partition("|")[0])}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Problem("The coverage report holds no contexts: make it by `coverage json --show-contexts`.") from error
    return {place: tests for place, tests in runs.items() if tests}
