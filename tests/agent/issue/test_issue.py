"""An issue is worked on in a branch of its own; the user's tree, index and branch stay byte for byte."""

from __future__ import annotations

import json
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from repositories import git, write
from scripted_edits import Answer, Scripted, replacing
from typer.testing import CliRunner, Result

from dovetail.agent.cli import app
from dovetail.agent.issue.text import parse_issue
from dovetail.agent.problems import FileProblem

ISSUE = "# Rename the function net_price to compute_price\n\n<!-- template -->\n"
PRICES = "def net_price(gross):\n    return gross * 0.8\n"
USES = "from prices import net_price\n\n\ndef show(gross):\n    return str(net_price(gross))\n"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".gitconfig").write_text("[user]\nname = Ada\nemail = ada@example.org\n")
    folder = tmp_path / "project"
    write(folder, {"prices.py": PRICES, "shop.py": USES, "notes.txt": "old\n"})
    git(folder, "init", "-q", "-b", "trunk")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "Prices")
    write(folder, {"notes.txt": "mine, not committed\n", "staged.txt": "mine\n", "new.txt": "mine\n"})
    git(folder, "add", "staged.txt")
    hook = folder / ".git" / "hooks" / "pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\ntouch $(dirname $0)/ran\nexit 1\n")
    hook.chmod(0o755)
    return folder


def said(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True)
    return done.stdout


def state(root: Path) -> tuple[object, ...]:
    files = {path.name: path.read_bytes() for path in root.iterdir() if path.is_file()}
    return (
        files,
        said(root, "status", "--porcelain=v2"),
        said(root, "symbolic-ref", "HEAD"),
        said(root, "log", "--oneline"),
    )


def ask(root: Path, edit: Answer, *options: str, text: str = ISSUE) -> Result:
    server = Scripted(edit)

    @contextmanager
    def serving(url: Any, console: Any) -> Any:
        with server.client as client:
            yield client

    arguments = ["agent", "--issue", "-", "--branch", "rename", "--path", str(root), *options]
    return CliRunner().invoke(app, arguments, input=text, obj=serving)


def rename() -> Answer:
    def edit(files: Any) -> dict[str, str]:
        return {path: text.replace("net_price", "compute_price") for path, text in files.items()}

    return edit


def test_the_work_is_committed_on_the_branch_and_the_user_keeps_everything(root: Path) -> None:
    before = state(root)
    done = ask(root, rename())
    assert done.exit_code == 0, done.output
    assert state(root) == before and not (root / ".git" / "hooks" / "ran").exists()
    assert said(root, "show", "rename:shop.py") == USES.replace("net_price", "compute_price")
    assert said(root, "log", "-1", "--format=%an <%ae> %s", "rename") == (
        "Ada <ada@example.org> Rename the function net_price to compute_price\n"
    )
    body = said(root, "log", "-1", "--format=%b", "rename")
    assert "outcome: done" in body and ": done (" in body
    assert said(root, "diff", "--name-only", "trunk", "rename").split() == ["prices.py", "shop.py"]
    assert "not committed are no part" in done.output and "nothing was pushed" in done.output

    line = next(line for line in done.output.splitlines() if line.strip().startswith("remove it:"))
    subprocess.run(["sh", "-c", line.partition(":")[2]], check=True, capture_output=True)
    assert state(root) == before and said(root, "worktree", "list").count("\n") == 1
    assert said(root, "branch", "--format=%(refname:short)") == "trunk\n"


def test_a_branch_without_work_is_taken_back(root: Path) -> None:
    before = state(root)
    done = ask(root, replacing("nothing of the kind", ""), "--json")
    told = json.loads(done.stdout.splitlines()[-1])
    assert done.exit_code == 1 and told["commit"] == "" and told["branch"] == "rename"
    assert state(root) == before
    assert said(root, "branch", "--format=%(refname:short)") == "trunk\n"
    assert said(root, "worktree", "list").count("\n") == 1


@pytest.mark.parametrize(
    ("options", "text", "words"),
    [
        (["--branch", "trunk"], ISSUE, "exists already"),
        (["--branch", "../x..y"], ISSUE, "no name that git allows"),
        (["--branch", "-f"], ISSUE, "no name that git allows"),
        ([], "  \n<!-- only a comment -->\n", "is empty"),
        ([], "x" * 70_000, "larger than 64 KiB"),
        (["--issue", "/does/not/exist.md"], ISSUE, "cannot be read"),
        (["--plan-only"], ISSUE, "--plan-only"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_made(
    root: Path, options: list[str], text: str, words: str
) -> None:
    before = state(root)
    done = ask(root, rename(), *options, text=text)
    assert done.exit_code != 0 and words in f"{done.output}{done.exception}"
    assert state(root) == before and said(root, "worktree", "list").count("\n") == 1


def test_a_folder_without_git_is_refused(tmp_path: Path) -> None:
    done = ask(tmp_path, rename())
    assert isinstance(done.exception, FileProblem) and "git rev-parse refuses" in str(done.exception)


@given(st.text(max_size=200))
def test_any_text_is_an_issue_or_refused(text: str) -> None:
    try:
        issue = parse_issue(text)
    except FileProblem:
        return
    assert issue.title and "\n" not in issue.title and issue.task.startswith(issue.title)
