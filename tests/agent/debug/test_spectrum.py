"""Ochiai: the line that only failing tests run comes first."""

from __future__ import annotations

import math

from dovetail.agent.debug.spectrum import Suspect, ochiai

RUNS = {("a.py", 1): {"t1", "t2", "t3"}, ("a.py", 2): {"t1"}, ("b.py", 7): {"t2"}, ("b.py", 8): {"t1", "t2"}}


def test_scores() -> None:
    assert ochiai(RUNS, ["t1"]) == [
        Suspect("a.py", 2, 1.0), Suspect("b.py", 8, 1 / math.sqrt(2)), Suspect("a.py", 1, 1 / math.sqrt(3))
    ]  # fmt: skip
    assert ochiai(RUNS, ["t1", "t2"])[0] == Suspect("b.py", 8, 1.0)
    assert ochiai(RUNS, []) == []
