"""Ochiai: the line that only failing tests run comes first."""

from __future__ import annotations

import json
import math

import pytest

from dovetail.agent.debug.spectrum import Suspect, ochiai, read_contexts
from dovetail.agent.problems import Problem

RUNS = {("a.py", 1): {"t1", "t2", "t3"}, ("a.py", 2): {"t1"}, ("b.py", 7): {"t2"}, ("b.py", 8): {"t1", "t2"}}


def test_scores() -> None:
    assert ochiai(RUNS, ["t1"]) == [
        Suspect("a.py", 2, 1.0), Suspect("b.py", 8, 1 / math.sqrt(2)), Suspect("a.py", 1, 1 / math.sqrt(3))
    ]  # fmt: skip
    assert ochiai(RUNS, ["t1", "t2"])[0] == Suspect("b.py", 8, 1.0)
    assert ochiai(RUNS, []) == []


def test_contexts_of_a_coverage_report() -> None:
    contexts = {
        "1": [""],
        "2": ["tests/t.py::test_a|run", "tests/t.py::test_a|setup"],
        "3": ["", "tests/t.py::test_b|run"],
    }
    report = json.dumps({"files": {"a.py": {"contexts": contexts}}})
    assert read_contexts(report) == {("a.py", 2): {"tests/t.py::test_a"}, ("a.py", 3): {"tests/t.py::test_b"}}


@pytest.mark.parametrize("report", ["", "[]", "{}", '{"files": {"a.py": {"executed_lines": [1]}}}'])
def test_a_report_without_contexts_is_refused(report: str) -> None:
    with pytest.raises(Problem, match="show-contexts"):
        read_contexts(report)
