"""``dovetail agent`` from the command line, with a scripted server."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from scenarios import BASKET, FIX, script
from scripted_model import Script, replacing, serving
from shop import everything, git, make_shop
from typer.testing import CliRunner, Result

from dovetail.serve.cli import app

TASK = "Add a method count_all to Basket"
ADD = replacing(
    "    def count(self)", "    def count_all(self):\n        return len(self.items)\n\n    def count(self)"
)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    make_shop(tmp_path / "shop")
    for path in (tmp_path / "shop" / "tests").glob("*.py"):
        path.unlink()  # what runs the tests is tested elsewhere
    return tmp_path / "shop"


def adding() -> Script:
    asked = {"text": "Basket has count_all", "check": "defines", "target": "Basket.count_all", "path": ""}
    return script(ADD, requirements={"requirements": [asked]})


def ask(told: Script, shop: Path, *arguments: str, said: str = "") -> Result:
    with serving(told) as url:
        return CliRunner().invoke(app, ["agent", "--path", str(shop), "--server", url, *arguments], input=said)


def kept(ending: str) -> list[Path]:
    return sorted((Path(os.environ["XDG_STATE_HOME"]) / "dovetail" / "runs").glob(f"*{ending}"))


def test_the_diff_is_shown_and_a_yes_writes(shop: Path) -> None:
    outcome = ask(adding(), shop, TASK, said="y\n")
    assert outcome.exit_code == 0, outcome.output
    assert "+    def count_all(self):" in outcome.output and "Write 1 file (done)?" in outcome.output
    assert "def count_all" in (shop / BASKET).read_text()
    assert "| R1 | Basket has count_all | done |" in kept(".md")[0].read_text()


def test_a_no_keeps_the_tree_and_a_patch(shop: Path) -> None:
    before = everything(shop)
    outcome = ask(adding(), shop, TASK, said="n\n")
    assert outcome.exit_code == 1 and everything(shop) == before
    [patch] = kept(".patch")
    git(shop, "apply", "--check", str(patch))


def test_nobody_to_ask_is_a_no(shop: Path) -> None:
    before = everything(shop)
    assert ask(adding(), shop, TASK).exit_code == 1 and everything(shop) == before


def test_json_prints_typed_events_and_writes_only_with_yes(shop: Path) -> None:
    before = everything(shop)
    outcome = ask(adding(), shop, TASK, "--json")
    events = [json.loads(line) for line in outcome.stdout.splitlines()]
    assert outcome.exit_code == 1 and everything(shop) == before
    assert [events[0]["type"], events[-1]["type"]] == ["started", "report"]
    assert {"requirements", "plan", "subtask", "candidate", "check", "subtask_done"} <= {
        each["type"] for each in events
    }
    assert events[-1]["report"]["outcome"] == "done" and not events[-1]["report"]["written"]
    assert ask(adding(), shop, TASK, "--json", "--yes").exit_code == 0
    assert "def count_all" in (shop / BASKET).read_text()


def test_yes_does_not_write_what_is_not_complete(shop: Path) -> None:
    before = everything(shop)
    outcome = ask(script(FIX), shop, "Fix Basket.count", "--yes", "--check", "false")
    assert outcome.exit_code == 1 and everything(shop) == before and kept(".patch")


def test_only_the_plan(shop: Path) -> None:
    before = everything(shop)
    outcome = ask(adding(), shop, TASK, "--plan-only")
    assert outcome.exit_code == 0 and "planned by the model" in outcome.output and everything(shop) == before


def test_a_run_is_taken_up(shop: Path) -> None:
    ask(adding(), shop, TASK, "--max-steps", "2")
    [path] = kept(".jsonl")
    outcome = CliRunner().invoke(app, ["agent", "--resume", str(path), "--server", "http://127.0.0.1:9", "--yes"])
    assert outcome.exit_code != 0
    told = adding()
    with serving(told) as url:
        outcome = CliRunner().invoke(app, ["agent", "--resume", str(path), "--server", url, "--yes"])
    assert outcome.exit_code == 0, outcome.output
    assert {kind for kind, _ in told.asked} == {"edit"} and "def count_all" in (shop / BASKET).read_text()


@pytest.mark.parametrize("arguments", [[], [" "], [TASK, "--candidates", "0"], [TASK, "--max-steps", "0"]])
def test_wrong_usage(shop: Path, arguments: list[str]) -> None:
    assert ask(adding(), shop, *arguments).exit_code == 2
