"""Tasks made from code: their answers are right, the same seed makes the same ones, and judges tell right from wrong."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from dovetail.agent.evaluate.continuation import halves
from dovetail.agent.evaluate.edits import edit_tasks, same
from dovetail.agent.evaluate.from_file import Programs, suite_from
from dovetail.agent.evaluate.infill import infill_tasks
from dovetail.agent.evaluate.sources import default_source, parses, snippets
from dovetail.agent.evaluate.suite import digest_of
from dovetail.agent.problems import FileProblem

CODE = '''
def total(items, limit=10):
    found = 0
    for item in items:
        if item > 3:
            found = found + item
        if found > limit:
            break
    return found


def second(values):
    """Documented."""
    kept = []
    for value in values:
        kept.append(value)
    print("some more text, so that it is long enough for a task to be made of it; and a little more, and more")
    return kept
'''


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for number in range(6):
        (tmp_path / f"m{number}.py").write_text(CODE)
    (tmp_path / "broken.py").write_text("def (:")
    return tmp_path


def test_every_edit_leads_to_another_program(source: Path) -> None:
    tasks = edit_tasks(snippets(source, 1), 6, 1)
    assert {task["kind"] for task in tasks} >= {"rename", "constant"}
    for task in tasks:
        before, after = task["files"][0]["content"], task["after"][task["files"][0]["path"]]
        assert parses(before)
        assert parses(after)
        assert not same(before, after)


def test_a_rename_touches_every_use_and_nothing_else(source: Path) -> None:
    task = next(each for each in edit_tasks(snippets(source, 1), 6, 1) if each["kind"] == "rename")
    old, new = task["instruction"].split()[3], task["instruction"].split()[5]
    names = [node.id for node in ast.walk(ast.parse(next(iter(task["after"].values())))) if isinstance(node, ast.Name)]
    assert new in names
    assert old not in names


def test_the_same_seed_makes_the_same_tasks(source: Path) -> None:
    made = [digest_of(infill_tasks(snippets(source, seed), 5, seed)) for seed in (1, 1, 2)]
    assert made[0] == made[1] != made[2]


def test_gaps_and_halves_are_cut_out_of_the_text(source: Path) -> None:
    texts = {snippet.text for snippet in snippets(source, 1)}
    for task in infill_tasks(snippets(source, 1), 5, 1):
        assert task["prefix"] + task["middle"] + task["suffix"] in texts
        assert task["middle"].strip() == task["middle"]
    for task in halves(snippets(source, 1), 5):
        assert task["head"] + task["tail"] in texts


def test_this_python_has_enough_to_ask() -> None:
    assert len(edit_tasks(snippets(default_source(), 3), 12, 3)) == 12


def test_a_folder_without_code_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileProblem, match="no Python files"):
        list(snippets(tmp_path, 1))


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ({"prompt": "def f():\n", "test": "def check(f): pass", "entry_point": "f"}, "Programs"),
        ({"prefix": "a", "middle": "b", "suffix": "c"}, "Infill"),
        ({"files": [], "instruction": "x", "after": {}}, "Edits"),
    ],
)
def test_files_of_tasks(tmp_path: Path, line: dict, kind: str) -> None:
    path = tmp_path / "My Suite.jsonl"
    path.write_text(json.dumps(line) + "\n\n" + json.dumps(line) + "\n")
    suite = suite_from(path)
    assert (type(suite).__name__, suite.name, len(suite.tasks)) == (kind, "my-suite", 2)
    assert len(suite_from(path, 1).tasks) == 1
    assert suite_from(path, 1, [suite.name]).name == f"{suite.name}-file", "no file passes for a suite of ours"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "none"),
        ("{", "no file of JSON lines"),
        ('{"prompt": 1}', "line 1"),
        ('{"prefix": "", "middle": "", "suffix": ""}\n{"files": [], "instruction": "", "after": {}}', "one kind"),
    ],
)
def test_files_that_are_no_suite(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "s.jsonl"
    path.write_text(text)
    with pytest.raises(FileProblem, match=said):
        suite_from(path)


class Completing:
    """A model that always says the same."""

    def __init__(self, text: str) -> None:
        self.text = text

    def completion(self, **body: object) -> dict:
        return {"choices": [{"text": self.text}]}


@pytest.mark.parametrize(
    ("said", "passed"),
    [
        ("    return a + b\n", True),
        ("    return a + b\n\ndef other():\n    syntax error(\n", True),
        ("    return a - b\n", False),
        ("    while True: pass\n", False),
        ("    import pathlib; pathlib.Path('/tmp/outside').write_text('x'); return a + b\n", False),
    ],
    ids=["right", "cut at the next function", "wrong", "endless", "writes outside"],
)
def test_programs_are_judged_by_their_tests_in_the_sandbox(
    said: str, passed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dovetail.agent.evaluate.from_file._LIMITS", _short_limits())
    task = {
        "prompt": "def add(a, b):\n",
        "test": "import os\ndef check(f):\n    assert f(2, 3) == 5\n    assert not os.path.exists('/tmp/outside')\n",
        "entry_point": "add",
    }
    sample = Programs([task], "p").ask(Completing(said), task)  # type: ignore[arg-type]
    assert sample["passed"] is passed


def _short_limits() -> object:
    from dovetail.agent.sandbox.outcome import MIB, Limits

    return Limits(timeout=1.5, cpu=5, memory=512 * MIB, processes=16, disk=64 * MIB)
