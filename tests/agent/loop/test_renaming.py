"""Renames: which lines are open, what of an answer is taken."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from repositories import write

from dovetail.agent.loop.by_rule import plan_by_rule
from dovetail.agent.loop.renaming import Renaming
from dovetail.agent.repo.index import RepoIndex

RENAMING = Renaming("old", "new")
lines = st.lists(st.sampled_from(["old", "x = old + old", "older", "_old", "new", "", "y", "f(old)", "y"]), max_size=12)


@given(lines, st.booleans())
def test_every_use_is_open_and_other_lines_are_closed_where_uses_are_unique(texts: list[str], ended: bool) -> None:
    text = "\n".join(texts) + ("\n" if ended else "")
    every = text.split("\n") if text and not text.endswith("\n") else text.split("\n")[:-1]
    closed = {number for first, last in RENAMING.closed(text) for number in range(first, last + 1)}
    uses = {number for number, line in enumerate(every, 1) if re.search(r"\bold\b", line)}
    assert closed <= set(range(1, len(every) + 1)) and not closed & uses
    if len({every[number - 1] for number in uses}) == len(uses):
        assert closed | uses == set(range(1, len(every) + 1))


@given(lines, lines)
def test_only_the_name_changes_in_what_is_taken(before: list[str], answer: list[str]) -> None:
    old = "\n".join(before)
    taken = RENAMING.taken(old, "\n".join(answer))
    assert RENAMING.only_renamed(old, taken)
    assert RENAMING.taken(old, old.replace("old", "new")) != old or "old" not in old or not RENAMING.left(old)


def test_what_is_left() -> None:
    assert RENAMING.left("old older x.old 'old' _old $old") == 3
    assert not RENAMING.only_renamed("f(old)", "f(new, 1)") and RENAMING.only_renamed("f(old)", "f(new)")


FILES = {
    "a.py": "def run():\n    pass\n\n\nclass Box:\n    def put(self):\n        pass\n\n\nLIMIT = 3\n",
    "b.py": "from a import run, LIMIT\n\n\ndef twice():\n    run()\n    run()\n",
    "c.py": "def twice():\n    pass\n",
    "conftest.py": "from a import LIMIT\n",
}


@pytest.fixture
def index(tmp_path: Path) -> RepoIndex:
    write(tmp_path / "repo", FILES)
    return RepoIndex.open(tmp_path / "repo", tmp_path / "cache")


@pytest.mark.parametrize(
    "task",
    [
        "Rename run to start",
        "rename the function `run` to `start`.",
        "please rename run() -> start() everywhere",
        "Rename function run into start and update its callers",
    ],
)
def test_a_rename_is_planned_by_rule(index: RepoIndex, task: str) -> None:
    ruled, why = plan_by_rule(task, index)
    assert ruled is not None and not why
    assert (
        ruled.plan.subtasks[0].files == ("a.py", "b.py")
        and ruled.plan.by == "rule"
        and ruled.plan.api == ("run", "start")
    )
    assert [(each.check, each.target) for each in ruled.requirements] == [("renamed", "run start")]


@pytest.mark.parametrize(
    ("task", "why"),
    [
        ("Rename walk to run", "walk is not defined here"),
        ("Rename twice to thrice", "twice is defined 2 times"),
        ("Rename put to add", "inside of something"),
        ("Rename run to Box", "Box is in use already"),
        ("Rename run to class", "class is no new name"),
        ("Rename LIMIT to MOST", "protected file"),
        ("Rename run to start and delete all tests", ""),
        ("Rename the files", ""),
        ("Make run faster", ""),
    ],
)
def test_other_tasks_are_not(index: RepoIndex, task: str, why: str) -> None:
    ruled, said = plan_by_rule(task, index)
    assert ruled is None and why in said
