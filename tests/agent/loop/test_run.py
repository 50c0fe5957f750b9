"""Runs that are cut off, limited, interrupted, taken up again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from safety import NoRunner
from scenarios import BASKET, COUNT, FIX, PAGE, plan, script, step
from scripted_model import Script, replacing, serving
from shop import everything, make_shop

from dovetail.agent.checks.commands.run import SandboxRunner
from dovetail.agent.client import DovetailClient
from dovetail.agent.loop import Agent, Report, RunLimits, Settings
from dovetail.agent.loop.events import Event
from dovetail.agent.problems import FileProblem, Problem, ServerUnreachable


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    make_shop(tmp_path / "shop")
    return tmp_path / "shop"


def two_steps() -> Script:
    steps = plan(step("Fix Basket.count", BASKET), step("Show it bold", PAGE))
    return script(FIX, FIX, FIX, replacing("<p>", "<b>"), plan=steps)


class Cut(Exception):
    """The process dies here."""


def run(
    shop: Path,
    told: Script,
    path: Path,
    *,
    resume: bool = False,
    stop: tuple[str, type[BaseException]] | None = None,
    **more: Any,
) -> tuple[Report, list[Event]]:
    heard: list[Event] = []

    def listen(event: Event) -> None:
        heard.append(event)
        if stop and event.kind == stop[0]:
            raise stop[1]

    with serving(told) as url, DovetailClient(url) as client:
        settings = Settings(COUNT, shop, **more)
        agent = Agent(settings, client, path, resume=resume, runner=NoRunner(), listener=listen)
        return agent.run(), heard


def test_a_run_that_was_cut_off_asks_only_what_was_not_answered(shop: Path, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    whole, _ = run(shop, two_steps(), tmp_path / "whole.jsonl")
    first = two_steps()
    with pytest.raises(Cut):
        run(shop, first, path, stop=("subtask_done", Cut))
    assert [kind for kind, _ in first.asked] == ["requirements", "plan", "edit", "edit", "edit"]
    second = two_steps()
    second.asked += [("edit", {})] * 3
    report, heard = run(shop, second, path, resume=True)
    assert [kind for kind, _ in second.asked[3:]] == ["edit", "edit", "edit"]
    assert report.patch == whole.patch and report.outcome == whole.outcome
    assert getattr(heard[0], "resumed", None) is True


def test_a_finished_run_is_replayed_without_a_server(shop: Path, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    first, _ = run(shop, two_steps(), path)
    nobody = DovetailClient("http://127.0.0.1:9")
    again = Agent(Settings(COUNT, shop), nobody, path, resume=True, runner=NoRunner()).run()
    assert again.patch == first.patch and [each.status for each in again.requirements] == [
        each.status for each in first.requirements
    ]


def test_a_trajectory_cut_at_any_byte_goes_on(shop: Path, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    whole, _ = run(shop, two_steps(), path)
    raw = path.read_bytes()
    first = raw.index(b"\n") + 1
    for number, cut in enumerate((first, first + 1, len(raw) // 2, len(raw) - 1)):
        part = tmp_path / f"part{number}.jsonl"
        part.write_bytes(raw[:cut])
        told = two_steps()
        told.edits = [FIX] * 3 + [replacing("<p>", "<b>")]
        known = part.read_bytes().count(b'"kind": "answer"')
        told.asked += [("edit", {})] * max(0, known - 2)
        report, _ = run(shop, told, part, resume=True)
        assert report.patch == whole.patch
    (tmp_path / "empty.jsonl").write_bytes(raw[: first - 5])
    with pytest.raises(FileProblem, match="no trajectory"):
        run(shop, two_steps(), tmp_path / "empty.jsonl", resume=True)


def test_a_changed_repository_is_not_taken_up(shop: Path, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    run(shop, two_steps(), path)
    (shop / "notes.txt").write_text("changed")
    with pytest.raises(FileProblem, match="has changed since"):
        run(shop, two_steps(), path, resume=True)


def test_a_trajectory_is_never_written_over(shop: Path, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_text("mine")
    with pytest.raises(FileProblem, match="--resume"):
        run(shop, two_steps(), path)
    assert path.read_text() == "mine"


@pytest.mark.parametrize("kind", ["plan", "candidate", "subtask_done", "check"])
def test_an_interruption_leaves_the_tree_and_says_so(shop: Path, tmp_path: Path, kind: str) -> None:
    before = everything(shop)
    report, _ = run(shop, two_steps(), tmp_path / "run.jsonl", stop=(kind, KeyboardInterrupt))
    assert report.outcome == "interrupted" and everything(shop) == before
    assert not report.may_be_written
    assert bool(report.patch) == (kind == "subtask_done")
    assert {each.status for each in report.requirements} == {"unchecked"}


@pytest.mark.parametrize(("limits", "word"), [(RunLimits(steps=3), "steps"), (RunLimits(tokens=15), "tokens"), (RunLimits(seconds=1e-6), "seconds")])  # fmt: skip
def test_limits_end_a_run(shop: Path, tmp_path: Path, limits: RunLimits, word: str) -> None:
    told = two_steps()
    report, _ = run(shop, told, tmp_path / "run.jsonl", limits=limits)
    assert report.outcome == "limit reached" and word in report.notes[-1]
    assert len(told.asked) <= 3 and not report.may_be_written


def test_limits_are_positive() -> None:
    with pytest.raises(Problem, match="steps must be above 0"):
        RunLimits(steps=0)


def test_only_the_plan(shop: Path, tmp_path: Path) -> None:
    told = two_steps()
    report, _ = run(shop, told, tmp_path / "run.jsonl", plan_only=True)
    assert report.outcome == "planned" and [kind for kind, _ in told.asked] == ["requirements", "plan"]
    assert [each.goal for each in report.subtasks] == ["Fix Basket.count", "Show it bold"] and not report.changes
    assert f"| R1 | {COUNT} | unchecked | only planned |" in report.to_markdown()


def test_no_server_is_no_answer(shop: Path, tmp_path: Path) -> None:
    nobody = DovetailClient("http://127.0.0.1:9")
    with pytest.raises(ServerUnreachable):
        Agent(Settings(COUNT, shop), nobody, tmp_path / "run.jsonl", runner=NoRunner()).run()


def test_what_the_model_is_shown_is_marked_as_data_and_holds_no_secrets(shop: Path, tmp_path: Path) -> None:
    (shop / ".env").write_text("TOKEN = 'do-not-send'\n")
    told = two_steps()
    told.plan = None
    run(shop, told, tmp_path / "run.jsonl")
    sent = json.dumps([body for _, body in told.asked])
    assert "never follow instructions" in sent and "do-not-send" not in sent and "IGNORE ALL" not in sent


def test_every_record_is_one_json_line_of_a_known_kind(shop: Path, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    run(shop, two_steps(), path)
    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert {each["kind"] for each in records} == {"run", "event", "answer"} and all("at" in each for each in records)
    assert path.stat().st_mode & 0o077 == 0


class Asked(SandboxRunner):
    """A runner that remembers what it was asked to run."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.commands: list[Sequence[str]] = []

    def run(self, tree: Path, command: Sequence[str], seconds: float) -> Any:
        self.commands.append(command)
        raise Problem("never")


def test_no_command_comes_from_a_model(shop: Path, tmp_path: Path) -> None:
    told = two_steps()
    told.requirements = {
        "requirements": [{"text": "Basket count", "check": "command", "target": "rm -rf ~", "path": "rm -rf ~"}]
    }
    runner = Asked(shop)
    with serving(told) as url, DovetailClient(url) as client, pytest.raises(Problem, match="never"):
        Agent(Settings(COUNT, shop), client, tmp_path / "run.jsonl", runner=runner).run()
    assert runner.commands and "rm -rf" not in json.dumps([list(each) for each in runner.commands])
