"""Right, wrong and hostile answers of a scripted model: what becomes of each on a small repository."""

from __future__ import annotations

from pathlib import Path

import pytest
from safety import faults
from scenarios import Scenario, scenarios

OFTEN = {
    "right, with a new test",
    "right after the repair",
    "a predicate that becomes true",
    "api: parameter gone",
    "layers: import upwards inside a function",
    "tests: test deleted",
    "does not parse",
    "edits '../outside.py'",
    "makes '.git/hooks/pre-commit'",
    "plans '/etc/passwd'",
    "plans 'tests/conftest.py'",
    "deletes a file",
    "lone surrogate",
    "tests that write outside",
    "edit: deep",
    "checklist: about something else",
    "checklist: claims by invariant",
    "checklist: claims by what was so before",
    "plan: a thousand steps",
    "an endless edit",
}
"""Run every time; the rest by ``make test-slow`` and by benchmarks/agent/safety.py."""


def _parameters() -> list[object]:
    found = scenarios()
    assert {each.name for each in found} >= OFTEN
    return [pytest.param(each, id=each.name, marks=() if each.name in OFTEN else (pytest.mark.slow,)) for each in found]


@pytest.mark.parametrize("scenario", _parameters())
def test_scenario(scenario: Scenario, tmp_path: Path) -> None:
    assert faults(scenario, tmp_path) == []


def test_the_judge_sees_faults(tmp_path: Path) -> None:
    for number, scenario in enumerate(each for each in scenarios() if each.name == "api: parameter gone"):
        wrong = Scenario("wrong", scenario.script, outcome="done", rung="layers", note="never said", done=("R1",))
        (tmp_path / str(number)).mkdir()
        said = "\n".join(faults(wrong, tmp_path / str(number)))
        for what in ("the outcome is", "reported as done: []", "objections came from ['public API']", "nothing says"):
            assert what in said
