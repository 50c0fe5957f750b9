"""The evaluation itself: mistakes are small, right answers are written, wrong and hostile ones are not, and the judge sees what was done."""

from __future__ import annotations

import ast
import difflib
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest
from evaluate import Result, do
from judge import judge
from mutate import mutants
from replay import Mode, Replay
from safety import NoRunner
from scripted_model import serving
from shop import everything
from task import Task, write
from tasks import features, signatures, traps

SOURCE = '''def f(a, b):
    """Says 1."""
    if a == b and not a:
        return g(a, b)
    return [a + 1 for _ in "ä" if a is not b or a not in [b - 20]]


class C:
    def m(self, x=3):
        return x < 2 <= 5
'''


def test_mutants_change_one_thing_of_one_function() -> None:
    found = list(mutants("a.py", SOURCE))
    whats = [each.what for each in found]
    assert {
        "== became !=",
        "and became or",
        "not was lost",
        "arguments were swapped",
        "is not became is",
        "not in became in",
    } < set(whats)
    assert {each.function for each in found} == {"f", "C.m"} and len({each.text for each in found}) == len(found) >= 12
    for each in found:
        ast.parse(each.text)
        changed = [line for line in difflib.ndiff(SOURCE.splitlines(), each.text.splitlines()) if line[0] in "+-"]
        assert len(changed) == 2 and "Says 1." in each.text


SIGNATURE, FEATURE, TRAPS = next(signatures()), next(features()), list(traps())


def done(task: Task, mode: Mode, folder: Path, *, contained: bool = True) -> Result:
    """A task done with a scripted model; without tests where nothing contains them."""

    def serve(task: Task) -> AbstractContextManager[str]:
        return serving(Replay(task, mode))

    return do(task, serve, folder, runner=None if contained else NoRunner())


def test_a_right_answer_is_written_and_passes_the_hidden_tests(tmp_path: Path) -> None:
    result = done(SIGNATURE, "correct", tmp_path)
    assert result.solved and result.written and not result.unexpected("correct")


@pytest.mark.parametrize("task", [FEATURE, TRAPS[0]], ids=lambda task: task.name)
def test_wrong_answers_are_not_written(task: Task, tmp_path: Path) -> None:
    result = done(replace(task, wrong=task.wrong[:1]), "wrong", tmp_path, contained=False)
    assert not result.written and not result.faults


def test_hostile_answers_touch_nothing(tmp_path: Path) -> None:
    assert not done(TRAPS[5], "hostile", tmp_path).unexpected("hostile")


def test_the_judge_sees_what_was_done(tmp_path: Path) -> None:
    root = tmp_path / "project"
    SIGNATURE.make(root)
    before = everything(tmp_path)
    assert not judge(SIGNATURE, root, before, before).passed
    upward = "from warehouse.web import pages\n"
    write(root, {"notes.txt": "x", ".git/HEAD": "x", "tests/test_stock.py": "", "warehouse/domain/new.py": upward})
    said = " ".join(judge(SIGNATURE, root, before, everything(tmp_path)).faults)
    for what in ("notes.txt was touched", ".git/HEAD was touched", "new.py imports against", "test_take is gone"):
        assert what in said


def test_every_task_of_the_warehouse_has_answers_that_differ() -> None:
    for task in (*signatures(), *features(), *TRAPS):
        assert task.right and task.wrong and task.hidden
        assert all(task.files.get(path) != text for path, text in task.right.items())
        assert all(wrong != task.right for wrong in task.wrong)
