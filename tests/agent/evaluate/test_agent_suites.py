"""Suites that let the agent work: their tasks are as they should be, and their judges tell right from wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dovetail.agent.client import DovetailClient
from dovetail.agent.evaluate.debugging import Debugging, debugging_tasks
from dovetail.agent.evaluate.mutants import mutants
from dovetail.agent.evaluate.pieces import Piece, judged, pieces
from dovetail.agent.evaluate.refactors import Refactors, as_it_was, joined, refactor_tasks
from dovetail.agent.problems import FileProblem

CODE = '''
import math
import os

LIMIT = 3


def area(width, height=2):
    """The area.

    >>> area(3)
    6
    >>> size = 4
    >>> area(size, size)
    16
    >>> area(1, 1)
    2
    >>> area("x" * 3, None)
    Traceback (most recent call last):
    TypeError
    """
    if width < 0:
        return 0
    return math.floor(width * height)


def needs_more(value):
    """
    >>> needs_more(1)
    3
    """
    return value + LIMIT - 1


def without(value):
    return value
'''


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[Piece]:
    folder = tmp_path_factory.mktemp("source")
    (folder / "shapes.py").write_text(CODE)
    (folder / "broken.py").write_text("def (:")
    return pieces(folder, 1)


def test_only_functions_whose_examples_hold_alone(found: list[Piece]) -> None:
    (piece,) = found
    assert (piece.name, piece.imports) == ("area", "import math\n")
    assert len(piece.tests) == 2, "neither the wrong example nor the one that raises"
    assert "size = 4" in piece.tests[1]


def test_where_there_are_none_it_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("def f():\n    return 1\n")
    with pytest.raises(FileProblem, match="no functions with examples"):
        pieces(tmp_path, 1)


def test_what_ends_everything_passes_nothing() -> None:
    told = judged(
        [("x = 1", ["assert x == 1", "while True: pass"]), ("import os\nos._exit(0)", ["1"]), ("y = 1", ["1"])]
    )
    assert told == [[True, False], [False], [False]]


def test_mutants_differ_in_one_place() -> None:
    text = "def f(a, b):\n    return (a + b) * 2 if a <= b and a != 1 else a // b\n"
    made = list(mutants(text))
    assert len(made) == len(set(made)) == 8
    assert text not in made
    assert "def f(a, b):\n    return (a - b) * 2 if a <= b and a != 1 else a // b\n" in made


def test_every_mistake_is_noticed(found: list[Piece]) -> None:
    tasks = debugging_tasks(found, 3, 1)
    assert tasks == debugging_tasks(found, 3, 1)
    assert 1 <= len(tasks) <= 3
    for task in tasks:
        assert task["files"]["piece.py"] != found[0].module
    assert not any(all(each) for each in judged([(task["files"]["piece.py"], task["tests"]) for task in tasks]))


def test_a_rename_and_a_move_are_told_from_what_is_none(found: list[Piece]) -> None:
    rename, move = refactor_tasks(found, 2, 1)
    files: dict[str, str] = rename["files"]
    right = {path: text.replace("area", rename["new"]) for path, text in files.items()}
    assert as_it_was(rename, right)
    assert all(judged([(joined(right), rename["tests"])])[0])
    for path in ("here.py", "uses.py"):
        half = {**right, path: files[path]}
        assert not as_it_was(rename, half)
        assert not any(judged([(joined(half), rename["tests"])])[0])
    assert not as_it_was(rename, {**right, "there.py": "def other(value):\n    return value\n"})

    body = found[0].text
    moved = {
        **files,
        "here.py": files["here.py"].replace(body, ""),
        "there.py": f"import math\n\n\n{body}\n\n{files['there.py']}",
        "uses.py": files["uses.py"].replace("from here", "from there"),
    }
    assert as_it_was(move, moved)
    assert all(judged([(joined(moved), move["tests"])])[0])
    assert not as_it_was(move, {**moved, "here.py": files["here.py"]}), "a copy is no move"
    assert not as_it_was(move, {**moved, "there.py": "def (:"})


class Silent:
    """A server whose model changes nothing."""

    def edit(self, *given: Any, **options: Any) -> dict[str, Any]:
        return {"files": [], "edits": [], "usage": {}, "constraint": {"truncated": False}}

    def chat(self, *given: Any, **options: Any) -> dict[str, Any]:
        return {"choices": [{"message": {"content": "{}"}, "finish_reason": "stop"}], "usage": {}}


@pytest.mark.slow
def test_a_mistake_is_found_whatever_the_model_says(found: list[Piece]) -> None:
    mistake = debugging_tasks(found, 1, 1)[0]
    client: DovetailClient = Silent()  # type: ignore[assignment]
    sample = Debugging([mistake]).ask(client, mistake)
    assert (sample["mended"], sample["written"], sample["found"]) == (False, False, True)


def test_a_model_that_does_nothing_breaks_nothing(found: list[Piece]) -> None:
    client: DovetailClient = Silent()  # type: ignore[assignment]
    rename = refactor_tasks(found, 1, 1)[0]
    left = Refactors([rename]).ask(client, rename)
    assert (left["held"], left["written"]) == (False, False)
    figures = {each.name: each for each in Refactors([rename]).metrics([left])}
    assert (figures["done"].value, figures["done"].n) == (0.0, 1)
    assert "rest_kept" not in figures, "a share of nothing is no figure"
