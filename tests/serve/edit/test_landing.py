"""Finished edits judged in a process of its own: the same as here, and a file that is too much for its parser harms nobody."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from dovetail.serve.edit.block import Block, EditError, Edits, Operation
from dovetail.serve.edit.landing.job import Job, Landing, landed
from dovetail.serve.edit.landing.process import LandingProcesses
from dovetail.serve.errors import EngineError, UserError
from dovetail.serve.types import SourceFile

HOSTILE = "/*\n" * 10_000
GOOD = SourceFile("calc.py", "def add(a, b):\n    return a + b\n")
BAD = SourceFile("bad.py", HOSTILE)
POLICY = (
    json.dumps({"version": 1, "imports": [{"id": "no/os", "forbid": ["os"], "paths": ["**"], "message": "No."}]}),
)


def edit(file: SourceFile, replace: str) -> Edits:
    search = file.content[: file.content.index("\n") + 1]
    return Edits((Block(path=file.path, search=search, replace=replace, start_line=1, end_line=1, anchored=True),))


def said(land: Callable[[Job], Landing], job: Job) -> object:
    try:
        return land(job)
    except EditError as error:
        return error.message, error.code, error.param, error.reason, error.mismatch


@pytest.fixture(scope="module")
def processes() -> Iterator[LandingProcesses]:
    made = LandingProcesses()
    yield made
    made.close()


JOBS = (
    Job(files=(GOOD,), edits=edit(GOOD, "def plus(a, b):\n")),
    Job(files=(GOOD,), edits=edit(GOOD, "def plus(a, b:\n")),
    Job(files=(GOOD,), edits=edit(GOOD, "def plus(a, b:\n"), syntax="off"),
    Job(files=(GOOD,), edits=edit(GOOD, "import os\ndef plus(a, b):\n"), policy=POLICY),
    Job(files=(GOOD,), edits=Edits((), (Operation(kind="create", path="b.go", content="package b\n"),))),
    Job(files=(GOOD,), edits=Edits((), (Operation(kind="create", path="b.go", content="package\n"),))),
)


@pytest.mark.parametrize("job", JOBS)
def test_a_process_says_what_is_said_here(processes: LandingProcesses, job: Job) -> None:
    assert said(processes.land, job) == said(landed, job)


def test_a_file_that_is_too_much_for_its_parser_is_not_checked_and_named(processes: LandingProcesses) -> None:
    job = Job(files=(GOOD, BAD), edits=edit(BAD, "x = 1\n"))
    after = processes.land(job)
    assert after.changed[0].content.startswith("x = 1\n")
    assert after.syntax == {"calc.py": "compiler", "bad.py": "off"}
    assert list(after.unchecked) == ["bad.py"]
    with ThreadPoolExecutor(4) as pool:  # It is known by now, and others are judged as ever.
        others = [pool.submit(processes.land, each) for each in (JOBS[0], job, JOBS[0], job)]
        assert [each.result().unchecked for each in others] == [{}, after.unchecked] * 2


def test_an_edit_that_makes_a_file_too_much_for_its_parser_is_refused(processes: LandingProcesses) -> None:
    whole = Block(path="calc.py", search=GOOD.content, replace=HOSTILE, start_line=1, end_line=2, anchored=True)
    with pytest.raises(EditError, match="cannot be checked") as refused:
        processes.land(Job(files=(GOOD,), edits=Edits((whole,))))
    assert (refused.value.reason, refused.value.path) == ("syntax", "calc.py")
    created = Edits((), (Operation(kind="create", path="new.py", content=HOSTILE),))
    with pytest.raises(EditError, match="cannot be checked"):
        processes.land(Job(files=(GOOD,), edits=created))


def test_a_policy_that_would_have_to_read_such_a_file_refuses_it_by_name(processes: LandingProcesses) -> None:
    with pytest.raises(UserError, match=r"'bad\.py'") as refused:
        processes.land(Job(files=(GOOD, BAD), edits=edit(BAD, "x = 1\n"), policy=POLICY))
    assert refused.value.status == 400
    assert processes.land(Job(files=(GOOD, BAD), edits=edit(GOOD, "def f(a, b):\n"), policy=POLICY)).refused == ()


def test_unreadable_files_are_found_ahead(processes: LandingProcesses) -> None:
    assert list(processes.unreadable([GOOD, BAD])) == ["bad.py"]


def test_too_many_of_them_are_refused() -> None:
    dies = "import sys; from dovetail.serve.edit.landing import worker, job\n"
    dies += "job.SyntaxGate = lambda path, original: sys.exit(3)\nworker.main()"
    processes = LandingProcesses((sys.executable, "-c", dies))
    files = tuple(SourceFile(f"{number}.py", f"x = {number}\n") for number in range(9))
    with pytest.raises(UserError, match="4 other files"):
        processes.unreadable(files)


def test_a_process_that_cannot_start_is_no_fault_of_the_request() -> None:
    with pytest.raises(EngineError):
        LandingProcesses((sys.executable, "-c", "")).land(JOBS[0])
