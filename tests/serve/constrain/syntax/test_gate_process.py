"""The gate process: the same answers, from a process that may die."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dovetail.serve.constrain.syntax.change import Change
from dovetail.serve.constrain.syntax.gate import SyntaxGate, Verdict
from dovetail.serve.constrain.syntax.gate_process import GateProcess

TEXT = b"def f(a):\n    return a\n\n\nx = f(1)\n"
CHANGES = (
    [Change(0, 10, b"def g(a):\n")],
    [Change(0, 10, b"def g(a:\n")],
    [Change(10, 23, b"    return = a\n")],
    [Change(10, 23, b"    pass\n"), Change(25, 34, b"print 'x'\n")],
    [],
)


@pytest.fixture
def gates() -> Iterator[GateProcess]:
    process = GateProcess()
    yield process
    process.close()


def test_it_says_what_the_gate_says(gates: GateProcess) -> None:
    for path in ("a.py", "a.js", "a.txt"):
        remote, local = gates.open(path, TEXT), SyntaxGate(path, TEXT)
        assert (remote.language, remote.faulty) == (local.language, local.faulty)
        for changes in CHANGES:
            for expected in (None, True, False):
                assert remote.ask(changes, expected).holds == local.holds(changes)


def test_wrong_expectations_are_overruled_and_counted(gates: GateProcess) -> None:
    gate = gates.open("a.py", TEXT)
    overruled: list[bool] = []
    for changes, expected in ((CHANGES[0], False), (CHANGES[1], True), (CHANGES[0], True)):
        answer = gate.ask(changes, expected)
        answer.when_given(lambda verdict: overruled.append(verdict.overruled))
        assert answer.wait(30)
    assert overruled == [True, True, False]


def test_what_is_to_be_prepared_runs_once_the_text_is_known(gates: GateProcess) -> None:
    done = threading.Event()
    gate = gates.open("a.py", TEXT)
    gate.prepare(done.set)
    assert done.wait(30)
    again = threading.Event()
    gate.prepare(again.set)
    assert again.wait(30)


DYING = """
import sys, time
from pathlib import Path
from dovetail.serve.constrain.syntax import gate_worker
from dovetail.serve.constrain.syntax.gate import SyntaxGate, Verdict
judge = SyntaxGate.judge
def dies(self, changes, expected):
    if changes and changes[0].replacement == b"die":
        sys.exit(3)
    while changes and changes[0].replacement == b"hang":
        pass
    while changes and changes[0].replacement.startswith(b"wait ") and not Path(changes[0].replacement[5:].decode()).exists():
        time.sleep(0.01)
    return judge(self, changes, expected)
SyntaxGate.judge = dies
gate_worker.main()
"""


@pytest.mark.parametrize("poison", [b"die", b"hang"])
def test_a_text_that_breaks_the_process_is_refused_and_others_are_answered(poison: bytes) -> None:
    gates = GateProcess(patience_s=3, command=(sys.executable, "-c", DYING))
    gate = gates.open("a.py", TEXT)
    other = gates.open("b.py", TEXT)
    try:
        assert not gate.ask([Change(0, 0, poison)]).holds
        assert other.ask(CHANGES[0], True).holds
        assert gate.ask(CHANGES[0]).holds
    finally:
        gates.close()


def test_nobody_waits_behind_a_text_that_takes_long(tmp_path: Path) -> None:
    gates = GateProcess(patience_s=600, command=(sys.executable, "-c", DYING))
    try:
        gate, other = gates.open("a.py", TEXT), gates.open("b.py", TEXT)
        assert gate.language == other.language == "python"
        late = gate.ask([Change(0, 0, f"wait {tmp_path / 'go'}".encode())])
        assert other.ask(CHANGES[0]).holds
        assert gate.ask(CHANGES[0]).holds
        assert not late.ready
    finally:
        (tmp_path / "go").touch()
        gates.close()


HOSTILE = b"/*\n" * 10_000
"""Python's grammar takes minutes and gigabytes over it."""


def test_an_original_that_is_too_much_for_its_parser_cannot_be_checked_and_harms_nobody(gates: GateProcess) -> None:
    before = gates.open("b.py", TEXT)
    hostile = gates.open("bad.py", HOSTILE)
    during = [before.ask(changes) for changes in CHANGES]
    behind = gates.open("c.py", TEXT)
    assert (hostile.language, hostile.unreadable is None) == (None, False)
    assert hostile.ask([Change(0, 1, b"x")]).holds
    local = SyntaxGate("b.py", TEXT)
    assert [answer.holds for answer in during] == [local.holds(changes) for changes in CHANGES]
    assert behind.language == "python"


def test_a_text_that_was_too_much_is_not_tried_again(gates: GateProcess) -> None:
    first = gates.open("bad.py", HOSTILE)
    assert first.language is None
    again = gates.open("other/name.py", HOSTILE)
    assert again.ready
    assert again.unreadable == first.unreadable
    assert gates.open("bad.txt", HOSTILE).unreadable is None


def test_a_change_that_is_too_much_is_refused_and_what_waits_behind_it_is_asked_again(gates: GateProcess) -> None:
    gate, other = gates.open("a.py", TEXT), gates.open("b.py", TEXT)
    verdicts: list[Verdict] = []
    answer = gate.ask([Change(0, len(TEXT), HOSTILE)])
    answer.when_given(verdicts.append)
    behind = [each.ask(CHANGES[0]) for each in (gate, other)]
    assert not answer.holds
    assert verdicts[0].broken
    assert all(each.holds for each in behind)


def test_many_questions_survive_many_deaths() -> None:
    gates = GateProcess(patience_s=30, command=(sys.executable, "-c", DYING))
    try:
        opened = [gates.open(f"{number}.py", TEXT) for number in range(4)]
        answers = [gate.ask([Change(0, 0, b"die")] if turn % 2 else CHANGES[0]) for turn in range(6) for gate in opened]
        said = [answer.holds for answer in answers]
    finally:
        gates.close()
    assert said == [not turn % 2 for turn in range(6) for _ in opened]
