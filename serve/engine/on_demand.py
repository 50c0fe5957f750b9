"""The Engine protocol over an engine that gives its memory back while nobody asks, and is started again by who asks next.

Knows how to make an engine and how long to wait; knows neither models nor HTTP.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Protocol, cast

from dovetail.serve.engine.base import Engine
from dovetail.serve.errors import EngineError
from dovetail.serve.types import Event, ModelInfo, Request, Stats


class Startable(Engine, Protocol):
    """An engine that is loaded when it is told to."""

    async def start(self) -> None:
        """Load the model; raises ModelError when it cannot be."""
        ...


class OnDemandEngine:
    """Ends the engine that ``make`` gives after ``idle_s`` seconds without a request."""

    def __init__(self, make: Callable[[], Startable], idle_s: float) -> None:
        self._make = make
        self._idle_s = idle_s
        self._engine: Startable | None = None
        self._info: ModelInfo | None = None
        self._last = Stats()
        self._users = 0
        self._changing = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._unloading: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Load the model for the first time, to see that it can be."""
        await self._loaded()
        self._rest()

    @property
    def ready(self) -> bool:
        """Whether a request would be answered: one that finds the model unloaded waits until it is there."""
        return self._info is not None and (self._engine is None or self._engine.ready or self._changing.locked())

    @property
    def loaded(self) -> bool:
        """Whether the model takes memory."""
        return self._engine is not None

    @property
    def info(self) -> ModelInfo:
        """The model, loaded or not; raises EngineError before it was for the first time."""
        if self._info is None:
            raise EngineError("the model is not loaded yet; try again in a moment", code="not_ready")
        return self._info

    async def generate(self, request: Request) -> AsyncIterator[Event]:
        """See Engine.generate."""
        self._users += 1
        self._stop_timer()
        try:
            engine = await self._loaded()
            async with aclosing(cast("AsyncGenerator[Event, None]", engine.generate(request))) as events:
                async for event in events:
                    yield event
        finally:
            self._users -= 1
            self._rest()

    async def cancel(self, request_id: str) -> None:
        """See Engine.cancel."""
        if self._engine is not None:
            await self._engine.cancel(request_id)

    def stats(self) -> Stats:
        """The figures of the engine; its last ones while it is unloaded."""
        if self._engine is not None:
            self._last = self._engine.stats()
        return self._last

    async def close(self) -> None:
        """End the engine for good."""
        self._stop_timer()
        if self._unloading is not None:
            await self._unloading
        if self._engine is not None:
            await self._engine.close()

    async def _loaded(self) -> Startable:
        async with self._changing:
            if self._engine is None:
                engine = self._make()
                try:
                    await engine.start()
                except BaseException:
                    await engine.close()
                    raise
                self._engine, self._info = engine, engine.info
            return self._engine

    def _rest(self) -> None:
        """Begin to wait, if nobody is there."""
        if not self._users and self._engine is not None:
            self._stop_timer()
            self._timer = asyncio.get_running_loop().call_later(self._idle_s, self._begin_unloading)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _begin_unloading(self) -> None:
        self._unloading = asyncio.get_running_loop().create_task(self._unload(), name="engine unloading")

    async def _unload(self) -> None:
        async with self._changing:
            if self._users or self._engine is None:
                return
            self.stats()
            engine, self._engine = self._engine, None
            await engine.close()
