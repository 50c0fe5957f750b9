"""A habit and the counts that it rests on."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

ENOUGH = 5
"""Fewer cases than this show no habit."""

CLEAR = 0.6
"""The share of cases from which on one way of doing it is the habit."""


class Convention(NamedTuple):
    """``text`` holds in ``cases`` of ``of`` cases."""

    topic: str
    text: str
    cases: int
    of: int

    def __str__(self) -> str:
        return f"{self.text} ({self.cases} of {self.of})"


def prevailing(topic: str, text: str, cases: Counter[str]) -> list[Convention]:
    """The commonest case as a habit, put into ``text`` at {}, where there are enough and it is clear."""
    of = sum(cases.values())
    if of < ENOUGH:
        return []
    best, count = max(sorted(cases.items()), key=lambda entry: entry[1])
    return [Convention(topic, text.format(best), count, of)] if count >= CLEAR * of else []
