"""Which lines failing tests run and passing ones do not: spectrum-based localisation by Ochiai. Runs no test."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import NamedTuple


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
