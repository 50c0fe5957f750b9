"""Plans over many files, whose single steps break what the last one mends."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from repositories import write
from scenarios import plan, requirement, step
from scripted_edits import Scripted
from scripted_model import Script, changed, serving

from dovetail.agent.checks.commands.tools import REPORT
from dovetail.agent.client import DovetailClient
from dovetail.agent.loop import Agent, Report, RunLimits, Settings
from dovetail.agent.loop.events import Checked, Event
from dovetail.agent.sandbox.outcome import Outcome

USERS = [f"shop/part{number}.py" for number in range(19)]


class Names:
    """Stands for pytest: its one test passes where every use of a name of shop/prices.py finds a definition there."""

    containment = "a stand-in"

    def run(self, tree: Path, command: Sequence[str], seconds: float) -> Outcome:
        texts = {path.name: path.read_text() for path in (tree / "shop").glob("*.py")}
        defined = set(re.findall(r"def (\w+)", texts["prices.py"]))
        missing = [
            name for name, text in sorted(texts.items()) if not set(re.findall(r"import (\w+)", text)) <= defined
        ]
        said = "".join(f'<failure message="{name} imports what is not there"/>' for name in missing[:1])
        case = f'<testcase file="tests/test_all.py" classname="tests.test_all" name="test_all">{said}</testcase>'
        (tree / REPORT).write_text(f"<testsuites><testsuite>{case}</testsuite></testsuites>")
        return Outcome(tuple(command), int(bool(missing)), "", "exit", 0.0, self.containment)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    use = "from shop.prices import net\n\n\ndef part{}():\n    return net(1)\n"
    write(tmp_path / "repo", {path: use.format(number) for number, path in enumerate(USERS)})
    write(tmp_path / "repo", {"shop/__init__.py": "", "shop/prices.py": "def net(cents):\n    return cents\n"})
    write(tmp_path / "repo", {"tests/test_all.py": "import shop.prices\n\n\ndef test_all():\n    assert shop.prices\n"})
    return tmp_path / "repo"


def renamed(text: str) -> str:
    return re.sub(r"\bnet\b", "gross", text)


def test_a_rename_over_more_files_than_one_step_takes(root: Path, tmp_path: Path) -> None:
    told: list[Event] = []
    server = Scripted(lambda files: {path: renamed(text) for path, text in files.items()})
    settings = Settings("Rename the function net to gross", root)
    report = Agent(settings, server.client, tmp_path / "run.jsonl", runner=Names(), listener=told.append).run()
    assert report.outcome == "done" and [len(each.files) for each in report.subtasks] == [8, 8, 4]
    assert sorted(report.changes) == sorted([*USERS, "shop/prices.py"])
    assert all(renamed(change.before or "") == change.after for change in report.changes.values())
    objecting = [event.subtask for event in told if isinstance(event, Checked) and event.findings]
    assert set(objecting) == {"S1", "S2"}
    assert len(server.asked) == len(report.changes)
    assert sum("leaves something for later steps" in note for note in report.notes) == 2


def run(root: Path, path: Path, wanted: str, *steps: tuple[str, ...], limits: RunLimits | None = None) -> Report:
    """A task whose edits say ``wanted`` in place of net, wherever they may."""

    def edit(body: dict[str, object]) -> dict[str, object]:
        given = {file["path"]: file["content"] for file in body["files"]}  # type: ignore[attr-defined,index]
        return changed({path: re.sub(r"\bnet\b", wanted, text) for path, text in given.items()})

    made = plan(*(step(f"Rename net, part {number}", *files) for number, files in enumerate(steps)))
    said = Script({"requirements": [requirement("net is renamed")]}, made, None, [edit])
    with serving(said) as url, DovetailClient(url) as client:
        settings = Settings("Say net in other words", root, allow_api=("net",), limits=limits or RunLimits())
        return Agent(settings, client, path, runner=Names()).run()


def test_a_model_s_plan_may_break_on_the_way(root: Path, tmp_path: Path) -> None:
    report = run(root, tmp_path / "run.jsonl", "gross", ("shop/prices.py",), tuple(USERS[:8]), tuple(USERS[8:16]), tuple(USERS[16:]))  # fmt: skip
    assert report.outcome == "unverified" and report.may_be_written and len(report.changes) == 20


def test_what_no_later_step_mends_is_taken_back_and_the_rest_is_done(root: Path, tmp_path: Path) -> None:
    write(root, {"shop/notes.py": "net = 'a word'\n"})
    report = run(root, tmp_path / "run.jsonl", "gross", tuple(USERS[:2]), ("shop/notes.py",))
    assert report.outcome == "partly done" and list(report.changes) == ["shop/notes.py"]
    assert [each.accepted for each in report.subtasks] == [False, True]
    assert "imports what is not there" in report.subtasks[0].why


def test_one_step_alone_may_break_nothing(root: Path, tmp_path: Path) -> None:
    report = run(root, tmp_path / "run.jsonl", "gross", tuple(USERS[:2]))
    assert report.outcome == "not done" and not report.changes
