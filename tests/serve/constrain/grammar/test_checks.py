"""Grammars checked in a process of their own: the same verdicts as here, and an end for what takes too long."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator

import pytest

from dovetail.serve.constrain.grammar.checks import MOST_WAITING, CheckProcesses
from dovetail.serve.constrain.grammar.source import explained
from dovetail.serve.errors import UserError
from dovetail.serve.types import GrammarSpec

DEAF = [sys.executable, "-c", "import time; print(end=chr(0), flush=True); time.sleep(3600)"]
DYING = [sys.executable, "-c", "pass"]
SPEC = GrammarSpec(kind="regex", source="[0-9]+", param="regex")


@pytest.fixture
async def check() -> AsyncIterator[CheckProcesses]:
    processes = CheckProcesses(60)
    yield processes
    await processes.close()


async def test_verdicts(check: CheckProcesses):
    schema = '{"properties": {"a": {"not": {}}}}'
    assert await check(SPEC) == []
    lenient = GrammarSpec(kind="json_schema", source=schema, lenient=True)
    assert await check(lenient) == ["#/properties/a/not"]
    with pytest.raises(UserError, match="properties/a/not") as caught:
        await check(GrammarSpec(kind="json_schema", source=schema))
    assert (caught.value.status, caught.value.param) == (400, "response_format")
    assert await check(GrammarSpec(kind="lark", source='start: "é"', param="grammar")) == []
    assert await check(GrammarSpec(kind="lark", source='start: "a" <[999]>', special_tokens=(999,))) == []
    with pytest.raises(UserError, match="no output"):
        await check(GrammarSpec(kind="lark", source="start: a\na: b\nb: a", param="grammar"))


def test_what_the_compiler_panics_at_is_told_in_words():
    told = explained(SPEC, "panic: assertion failed: symbols.len() < u16::MAX <backtrace> 0: <unknown>")
    assert told.message == "regex: the compiler could not take it; make it simpler."


async def test_a_process_that_never_gets_ready_is_given_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("dovetail.serve.constrain.grammar.checks.START_SECONDS", 0.2)
    check = CheckProcesses(3600, [sys.executable, "-c", "import time; time.sleep(3600)"])
    with pytest.raises(UserError, match="took more than"):
        await check(SPEC)


async def test_several_at_a_time(check: CheckProcesses):
    specs = [GrammarSpec(kind="regex", source=f"a{{{number}}}") for number in range(1, 20)]
    assert await asyncio.gather(*map(check, specs)) == [[]] * 19


@pytest.mark.parametrize(("command", "seconds", "reason"), [(DEAF, 0.2, "took more than"), (DYING, 60, "simpler")])
async def test_what_takes_too_long_or_breaks_the_compiler_is_refused(command: list[str], seconds: float, reason: str):
    check = CheckProcesses(seconds, command)
    for _ in range(3):  # each in a process of its own
        with pytest.raises(UserError, match=reason) as caught:
            await check(SPEC)
        assert (caught.value.status, caught.value.code, caught.value.param) == (400, "grammar_too_complex", "regex")


async def test_a_crowd_is_told_to_come_back():
    check = CheckProcesses(3600, DEAF)
    asked = [asyncio.create_task(check(SPEC)) for _ in range(MOST_WAITING + 5)]
    while sum(each.done() for each in asked) < 3:  # noqa: ASYNC110 (a count)
        await asyncio.sleep(0.01)
    for each in asked:
        each.cancel()
    refused = [each for each in await asyncio.gather(*asked, return_exceptions=True) if isinstance(each, UserError)]
    assert [(each.status, each.code) for each in refused] == [(429, "queue_full")] * 3


async def test_who_leaves_ends_the_check():
    check = CheckProcesses(3600, DEAF)
    asked = [asyncio.create_task(check(SPEC)) for _ in range(3)]
    await asyncio.sleep(0.3)
    for each in asked:
        each.cancel()
    async with asyncio.timeout(30):
        assert all(
            isinstance(each, asyncio.CancelledError) for each in await asyncio.gather(*asked, return_exceptions=True)
        )
