"""What the agent does with work that is not committed, where nothing can be contained, and what its report says first."""

from __future__ import annotations

import json
import os
import shutil
import stat
from pathlib import Path

import pytest
from repositories import git, write
from scenarios import BASKET, COUNT, FIX, PAGE, TEST, plan, requirement, script, step
from scripted_model import Script, changed, replacing, serving
from shop import everything, make_shop
from typer.testing import CliRunner, Result

import dovetail.agent.sandbox.landlock
from dovetail.agent.loop.uncommitted import uncommitted
from dovetail.serve.cli import app

NEW = "shop/domain/cards.py"
TASK = "Say price in place of amount"
CARD = "def card():\n    amount = 1\n    return amount\n"


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    make_shop(tmp_path / "shop")
    for path in (tmp_path / "shop" / "tests").glob("*.py"):
        path.unlink()  # what runs the tests is tested elsewhere
    return tmp_path / "shop"


@pytest.fixture
def nothing_contains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with git, without bubblewrap, and with a kernel without Landlock."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "git").symlink_to(shutil.which("git") or "/usr/bin/git")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(dovetail.agent.sandbox.landlock, "abi", lambda: 0)


def ask(told: Script, shop: Path, *arguments: str, said: str = "") -> Result:
    with serving(told) as url:
        return CliRunner().invoke(app, ["agent", "--path", str(shop), "--server", url, *arguments], input=said)


def kept(ending: str) -> Path:
    runs = (Path(os.environ["XDG_STATE_HOME"]) / "dovetail" / "runs").glob(f"*{ending}")
    return max(runs, key=lambda run: run.stat().st_mtime_ns)


def take_back(run: Path) -> Result:
    return CliRunner().invoke(app, ["agent", "--undo", str(run)])


def dirty(shop: Path) -> Script:
    """The user's own uncommitted lines in one file, a file that git does not know; and a plan over both and a clean one."""
    basket = shop / BASKET
    basket.write_bytes(basket.read_bytes().replace(b"class Basket", b"# mine, not committed\r\nclass Basket"))
    basket.chmod(0o600)
    write(shop, {NEW: CARD})
    steps = plan(step(TASK, BASKET, NEW, PAGE))
    asked = {"requirements": [requirement("price in place of amount")]}
    return script(replacing("amount", "price"), requirements=asked, plan=steps)


def test_uncommitted_work_is_told_first_and_comes_back_byte_for_byte(shop: Path) -> None:
    told = dirty(shop)
    before = everything(shop)
    done = ask(told, shop, TASK, "--yes")
    assert done.exit_code == 0, done.output
    assert (shop / NEW).read_text() == CARD.replace("amount", "price")
    assert b"mine, not committed\r\n" in (shop / BASKET).read_bytes()

    first = kept(".md").read_text().splitlines()[2]
    assert f"work of yours that is not committed: {BASKET}, {NEW}. It is kept" in first
    assert f"dovetail agent --undo {kept('.jsonl')}" in first
    report = json.loads(kept(".report.json").read_text())
    assert report["uncommitted"] == [BASKET, NEW] and report["undo"] == f"dovetail agent --undo {kept('.jsonl')}"
    assert stat.S_IMODE(kept(".undo.json").stat().st_mode) == 0o600

    back = take_back(kept(".jsonl"))
    assert back.exit_code == 0 and f"restored: {BASKET}" in back.output and everything(shop) == before
    assert "as it was before" in take_back(kept(".jsonl")).output


def test_a_person_is_told_of_uncommitted_work_before_the_question(shop: Path) -> None:
    told = dirty(shop)
    before = everything(shop)
    said = ask(told, shop, TASK, said="n\n").output
    assert said.index("work of yours that is not committed") < said.index("Write 2 files")
    assert everything(shop) == before and not kept(".md").with_suffix(".undo.json").exists()
    assert kept(".md").read_text().startswith("# Changed, not verified; in copies only, nothing is written:")


def test_what_was_changed_since_is_not_taken_back(shop: Path) -> None:
    ask(dirty(shop), shop, TASK, "--yes")
    (shop / BASKET).write_text("mine = 1\n")
    back = take_back(kept(".jsonl"))
    assert back.exit_code == 1 and f"kept, for it was changed since: {BASKET}" in back.output
    assert (shop / BASKET).read_text() == "mine = 1\n" and (shop / NEW).read_text() == CARD


def test_a_new_file_goes_and_a_clean_one_comes_back(shop: Path) -> None:
    steps = plan(step("Fix Basket.count", BASKET, new=(NEW,)))
    made = {**changed({}), "operations": [{"kind": "create", "path": NEW, "content": "x = 1\n"}]}
    before = everything(shop)
    assert ask(script(made, plan=steps), shop, COUNT, "--yes").exit_code == 0
    assert "not committed" not in kept(".md").read_text() and (shop / NEW).exists()
    assert take_back(kept(".jsonl")).exit_code == 0 and everything(shop) == before


def test_a_run_that_wrote_nothing_has_nothing_to_take_back(shop: Path) -> None:
    ask(script(FIX), shop, COUNT, said="n\n")
    back = take_back(kept(".jsonl"))
    assert back.exit_code != 0 and "that run wrote nothing" in str(back.exception)
    assert CliRunner().invoke(app, ["agent", "do it", "--undo", "x.jsonl"]).exit_code == 2


def test_what_git_does_not_have(tmp_path: Path) -> None:
    root = tmp_path / "project" / "part"
    clean, odd = "clean.py", "with a space [*].py"
    names = [clean, "changed.py", "staged.py", odd]
    write(root, dict.fromkeys(names, "x = 1\n"))
    git(root.parent, "init", "-q")
    assert uncommitted(root, names) == sorted(names)
    write(root, {".gitignore": "ignored/\n", "ignored/a.py": "", "new.py": ""})
    git(root, "add", "--", ".gitignore", *names)
    git(root, "commit", "-q", "-m", "all")
    write(root, dict.fromkeys(["changed.py", "staged.py", odd], "x = 2\n"))
    git(root, "add", "--", "staged.py")
    wanted = ["changed.py", "ignored/a.py", "new.py", "staged.py", odd]
    assert uncommitted(root, [*names, "new.py", "ignored/a.py", "absent.py"]) == wanted
    assert uncommitted(tmp_path, ["project/part/clean.py"]) == ["project/part/clean.py"]


@pytest.mark.usefixtures("nothing_contains")
def test_without_a_sandbox_nothing_is_written_without_a_question(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(shop, {TEST: "def test_nothing():\n    pass\n"})
    before = everything(shop)
    done = ask(script(FIX), shop, COUNT, "--yes")
    assert done.exit_code == 1 and everything(shop) == before
    said = kept(".md").read_text()
    assert said.startswith("# Changed, not verified; in copies only, nothing is written:")
    assert said.splitlines()[2].startswith("> **Unverified: none of the project's checks was run. No command is run")
    assert "DOVETAIL_OUTER_SANDBOX" in said and kept(".patch").read_text()

    asked = ask(script(FIX), shop, COUNT, said="y\n")
    assert asked.exit_code == 0 and asked.output.index("Unverified: none") < asked.output.index("Write 1 file")
    assert kept(".md").read_text().startswith("# Changed, not verified: ")


def test_a_tick_is_for_a_step_that_touched_what_it_names(shop: Path) -> None:
    steps = plan(step("Fix Basket.count", BASKET), step("Make the function show bold", PAGE))
    edits = [replacing("shop.domain.prices", "shop.domain . prices"), replacing("<p>", "<b>")]
    ask(script(edits[0], edits[0], edits[0], edits[1], plan=steps), shop, COUNT, said="n\n")
    said = kept(".md").read_text()
    assert "[?] S1: Fix Basket.count (candidate 0 of 3, 2 changed lines): this edit touches none" in said
    assert "[x] S2: Make the function show bold (candidate 0 of 3, 2 changed lines)" in said
    assert [each["missed"] for each in json.loads(kept(".report.json").read_text())["subtasks"]] == [["Basket.count"], []]  # fmt: skip
