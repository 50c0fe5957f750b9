"""The engine process seen from the API: every request ends, whatever happens to the process."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from dovetail.serve.engine.process.client import EngineProcess
from dovetail.serve.errors import EngineError, ModelError, UserError
from dovetail.serve.types import ErrorEvent, Event, FinishEvent, Request, SamplingParams, TokensEvent

WORKER = str(Path(__file__).parent / "countdown.py")


def command(behaviour: str) -> list[str]:
    return [sys.executable, WORKER, behaviour]


def request(name: str, tokens: int) -> Request:
    return Request(request_id=name, prompt=(1,), sampling=SamplingParams(max_tokens=tokens))


async def collect(engine: EngineProcess, name: str, tokens: int) -> list[Event]:
    return [event async for event in engine.generate(request(name, tokens))]


@asynccontextmanager
async def running(behaviour: str = "ok") -> AsyncIterator[EngineProcess]:
    engine = EngineProcess(command(behaviour))
    try:
        await engine.start()
        yield engine
    finally:
        await engine.close()


async def eventually(condition: Callable[[], bool], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  (the state of another process: nothing to wait for)
            await asyncio.sleep(0.02)


async def test_requests_run_side_by_side() -> None:
    progress: list[float] = []
    engine = EngineProcess(command("ok"), lambda fraction, what: progress.append(fraction))
    with pytest.raises(EngineError):
        _ = engine.info
    await engine.start()
    try:
        assert engine.ready and progress == [0.5]
        results = await asyncio.gather(*(collect(engine, f"r{i}", i + 1) for i in range(8)))
        for count, events in enumerate(results, start=1):
            assert sum(len(event.tokens) for event in events if isinstance(event, TokensEvent)) == count
            assert isinstance(events[-1], FinishEvent)
    finally:
        await engine.close()


async def test_a_slow_reader_gets_all_tokens_in_fewer_events() -> None:
    async with running() as engine:
        events = []
        async with aclosing(engine.generate(request("r", 60))) as told:
            async for event in told:
                events.append(event)
                await asyncio.sleep(0.03)  # six steps of this engine
        tokens = [event for event in events if isinstance(event, TokensEvent)]
        assert len(tokens) < 40
        assert sum(len(event.tokens) for event in tokens) == len("".join(event.text for event in tokens)) == 60
        assert all(len(event.origins) == len(event.tokens) for event in tokens)
        assert isinstance(events[-1], FinishEvent)


async def test_closing_the_iterator_cancels() -> None:
    async with running() as engine:
        async with aclosing(engine.generate(request("long", 100_000))) as events:
            async for _ in events:
                break
        await eventually(lambda: engine.stats().running == 0)
        assert isinstance((await collect(engine, "next", 2))[-1], FinishEvent)


async def test_cancel_ends_the_iterator() -> None:
    async with running() as engine:
        task = asyncio.create_task(collect(engine, "long", 100_000))
        await eventually(lambda: engine.stats().running == 1)
        await engine.cancel("long")
        assert isinstance((await task)[-1], ErrorEvent)
        await engine.cancel("nobody")


async def test_tokens_behind_a_cancel_do_not_keep_the_iterator_waiting() -> None:
    async with running() as engine:
        for number in range(10):
            async with aclosing(engine.generate(request(f"r{number}", 100_000))) as told:
                await anext(told)
                await engine.cancel(f"r{number}")
                await asyncio.sleep(0.03)  # a step on its way ends meanwhile
                async with asyncio.timeout(10):
                    assert isinstance([event async for event in told][-1], ErrorEvent)


async def test_death_fails_what_is_in_flight_and_is_survived() -> None:
    async with running() as engine:
        tasks = [asyncio.create_task(collect(engine, f"r{i}", 100_000)) for i in range(4)]
        await eventually(lambda: engine.stats().running == 4)
        os.kill(int(engine.info.architecture), signal.SIGKILL)
        for events in await asyncio.wait_for(asyncio.gather(*tasks), 10):
            last = events[-1]
            assert isinstance(last, ErrorEvent)
            assert (last.status, last.code) == (503, "engine_died")
        assert not engine.ready
        with pytest.raises(EngineError):
            await collect(engine, "too early", 1)
        await eventually(lambda: engine.ready)
        assert engine.restarts == 1
        assert isinstance((await collect(engine, "after", 2))[-1], FinishEvent)


async def test_requests_that_come_while_it_dies_end_too() -> None:
    async with running() as engine:
        os.kill(int(engine.info.architecture), signal.SIGKILL)
        for _ in range(200):
            if not engine.ready:
                break
            last = (await asyncio.wait_for(collect(engine, "r", 3), 10))[-1]
            assert isinstance(last, ErrorEvent | FinishEvent)
        assert not engine.ready


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [("fail", "config.json is missing"), ("die", "status 7"), ("huge", "does not fit into memory")],
)
async def test_a_model_that_cannot_be_loaded_is_an_error(behaviour: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        async with running(behaviour):
            pass


async def test_a_hanging_process_is_replaced() -> None:
    engine = EngineProcess(command("ok"), hang_timeout_s=0.4)
    await engine.start()
    try:
        last = (await asyncio.wait_for(collect(engine, "hang", 5), 10))[-1]
        assert isinstance(last, ErrorEvent)
        assert last.status == 503
        await eventually(lambda: engine.ready)
        assert engine.stats().restarts == 1
        assert isinstance((await collect(engine, "after", 2))[-1], FinishEvent)
    finally:
        await engine.close()


async def test_out_of_memory_is_told_and_survived() -> None:
    async with running() as engine:
        innocent = asyncio.create_task(collect(engine, "innocent", 100_000))
        await eventually(lambda: engine.stats().running == 1)
        guilty = await asyncio.wait_for(collect(engine, "glutton", 5), 10)
        for events in (guilty, await asyncio.wait_for(innocent, 10)):
            last = events[-1]
            assert isinstance(last, ErrorEvent)
            assert (last.status, last.code) == (503, "out_of_memory")
        await eventually(lambda: engine.ready)
        assert isinstance((await collect(engine, "after", 2))[-1], FinishEvent)


async def test_the_process_does_not_outlive_close() -> None:
    async with running() as engine:
        pid = int(engine.info.architecture)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def says(engine: EngineProcess) -> str:
    """The names of the worker's adapters."""
    return next(event.text for event in await collect(engine, "r", 1) if isinstance(event, TokensEvent))


async def test_adapters_are_given_again_after_a_death() -> None:
    engine = EngineProcess(command("ok"), adapters={"a": Path("one")})
    try:
        await engine.start()
        assert await says(engine) == "a"
        await engine.load_adapter("b", Path("two"))
        with pytest.raises(UserError, match="does not fit"):
            await engine.load_adapter("c", Path("bad"))
        await engine.load_adapter("d", Path("two"))
        await engine.unload_adapter("a")
        assert await says(engine) == "bd"
        hanging = asyncio.create_task(engine.load_adapter("e", Path("hang")))
        await asyncio.sleep(0.05)
        os.kill(int(engine.info.architecture), signal.SIGKILL)
        with pytest.raises(EngineError):
            await asyncio.wait_for(hanging, 10)
        with pytest.raises(EngineError):
            await engine.load_adapter("f", Path("too early"))
        await eventually(lambda: engine.ready)
        assert await says(engine) == "bd"
    finally:
        await engine.close()


async def test_an_adapter_that_cannot_be_used_keeps_the_server_from_starting() -> None:
    engine = EngineProcess(command("ok"), adapters={"a": Path("one"), "b": Path("bad")})
    with pytest.raises(ModelError, match="does not fit"):
        await engine.start()
    await engine.close()


async def test_processes_of_a_killed_process_end_with_it(tmp_path: Path) -> None:
    told = tmp_path / "child"
    engine = EngineProcess(command(f"parent of {told}"), own_group=True)
    try:
        await engine.start()
        child, first = int(told.read_text()), engine._process
        assert first is not None and alive(child)
        first.kill()
        await eventually(lambda: not alive(child))
        await eventually(lambda: engine.ready and engine.restarts == 1)
    finally:
        await engine.close()
    last = int(told.read_text())
    await eventually(lambda: not alive(last))  # it was killed; the kernel takes its time on a busy machine


def alive(pid: int) -> bool:
    """Whether it runs; a zombie that nobody has asked for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
