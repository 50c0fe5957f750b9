"""``dovetail agent --fix`` as a person runs it: contained, with pytest, nothing written without consent."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from broken_shop import FIRST_WRONG
from repositories import ALONE, write
from scripted_edits import Scripted, replacing
from typer.testing import CliRunner

from dovetail.agent.cli import app

TEST = """import pytest

from cart import total


@pytest.mark.parametrize(("prices", "expected"), [([], 0), ([1, 2, 4], 7)])
def test_total(prices, expected):
    assert total(prices) == expected
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    folder = tmp_path / "project"
    write(folder, {"cart.py": FIRST_WRONG, "test_cart.py": TEST, "pytest.ini": ALONE})
    return folder


def serving(server: Scripted) -> Any:
    @contextmanager
    def connect(url: Any, console: Any) -> Any:
        with server.client as client:
            yield client

    return connect


def run(root: Path, server: Scripted, *options: str, answer: str = "") -> Any:
    command = ["agent", "--fix", "pytest -q", "--path", str(root), "--repeats", "1", *options]
    return CliRunner().invoke(app, command, input=answer, obj=serving(server))


def right() -> Scripted:
    return Scripted(replacing("len(prices) - 1", "len(prices)"))


def test_a_parametrized_pytest_is_mended_in_the_sandbox_and_written_with_yes(root: Path) -> None:
    done = run(root, right(), "--yes", "--json")
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    report = lines[-1]["report"]
    assert done.exit_code == 0 and report["outcome"] == "fixed" and report["written"]
    assert report["containment"] and report["suspects"][0]["name"] == "total"
    assert report["failure"]["tests"] == ["test_cart.py::test_total[prices1-7]"] or report["tests"]["mended"]
    assert (root / "cart.py").read_text() == FIRST_WRONG.replace("len(prices) - 1", "len(prices)")


def test_nothing_is_written_where_the_person_says_no(root: Path, tmp_path: Path) -> None:
    done = run(root, right(), answer="n\n")
    assert done.exit_code == 1 and (root / "cart.py").read_text() == FIRST_WRONG
    assert sorted(path.name for path in root.iterdir()) == ["cart.py", "pytest.ini", "test_cart.py"]
    assert len(list((tmp_path / "state" / "dovetail" / "runs").glob("*-fix-*.patch"))) == 1


def test_a_repair_is_taken_up_by_its_record(root: Path, tmp_path: Path) -> None:
    assert run(root, right(), "--max-steps", "1").exit_code == 1
    [record] = (tmp_path / "state" / "dovetail" / "runs").glob("*-fix-*.jsonl")
    done = CliRunner().invoke(app, ["agent", "--resume", str(record), "--yes", "--json"], obj=serving(right()))
    report = json.loads(done.stdout.splitlines()[-1])["report"]
    assert done.exit_code == 0 and report["command"] == "pytest -q" and report["written"]


def test_a_task_beside_a_command_is_refused(root: Path) -> None:
    done = CliRunner().invoke(app, ["agent", "do it", "--fix", "pytest", "--path", str(root)])
    assert done.exit_code == 2 and "--fix takes a failing command" in done.output
