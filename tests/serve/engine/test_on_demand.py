"""An engine that is ended while nobody asks, and started again by the next request."""

from __future__ import annotations

import asyncio

import pytest

from dovetail.serve.engine.fake import FakeEngine, reply
from dovetail.serve.engine.on_demand import OnDemandEngine
from dovetail.serve.errors import EngineError, ModelError
from dovetail.serve.types import FinishEvent, Request, SamplingParams

REQUEST = Request(request_id="r", prompt=(1,), sampling=SamplingParams(max_tokens=5))


class Loading(FakeEngine):
    """Ready once it is started; ``broken``: it cannot be."""

    def __init__(self, broken: bool = False, delay: float = 0.0) -> None:
        super().__init__(lambda request: reply(request, ["a", "b"], lambda text: [1], delay=delay), ready=False)
        self.broken = broken

    async def start(self) -> None:
        await asyncio.sleep(0)
        if self.broken:
            raise ModelError("no room")
        self.ready = True


async def answer(engine: OnDemandEngine) -> list[object]:
    return [event async for event in engine.generate(REQUEST)]


async def until(condition, seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 (what is awaited lies in another task's hands)
            await asyncio.sleep(0.002)


async def test_it_goes_and_comes_back():
    made: list[Loading] = []

    def make() -> Loading:
        made.append(Loading())
        return made[-1]

    engine = OnDemandEngine(make, 0.01)
    assert not engine.ready
    with pytest.raises(EngineError):
        _ = engine.info
    await engine.start()
    assert engine.ready and engine.info.architecture == "Fake"
    await until(lambda: not engine.loaded)
    assert engine.ready and made[0].closed
    first, second = await asyncio.gather(answer(engine), answer(engine))
    assert isinstance(first[-1], FinishEvent) and isinstance(second[-1], FinishEvent)
    assert len(made) == 2, "two requests start one engine"
    await until(lambda: not engine.loaded)
    assert engine.stats().finished["stop"] == 2, "the last figures stay"
    await engine.close()


async def test_it_stays_while_somebody_asks():
    made: list[Loading] = []

    def make() -> Loading:
        made.append(Loading(delay=0.05))
        return made[-1]

    engine = OnDemandEngine(make, 0.01)
    await engine.start()
    events = engine.generate(REQUEST)
    await anext(events)
    await asyncio.sleep(0.03)
    assert engine.loaded
    await events.aclose()
    await until(lambda: not engine.loaded)
    assert made[0].running == 0
    await engine.close()


async def test_one_that_cannot_come_back_says_why():
    broken = False
    engine = OnDemandEngine(lambda: Loading(broken), 0.01)
    await engine.start()
    await until(lambda: not engine.loaded)
    broken = True
    with pytest.raises(ModelError, match="no room"):
        await answer(engine)
    broken = False
    assert isinstance((await answer(engine))[-1], FinishEvent)
    await engine.close()
