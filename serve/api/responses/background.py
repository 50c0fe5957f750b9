"""Responses that are made while nobody waits: started, followed, cancelled. Knows no HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from dovetail.serve.api.access.inside import tenant
from dovetail.serve.api.access.visit import visiting
from dovetail.serve.api.http.failures import INTERNAL
from dovetail.serve.api.responses.events import Event
from dovetail.serve.api.responses.making import Making
from dovetail.serve.errors import DovetailError, EngineError

_AT_ONCE = 256
LOST = EngineError("The server was stopped while it made this response; ask again.", code="server_stopped")


class Run:
    """One response in the background, and all of its events so far."""

    def __init__(self, making: Making) -> None:
        self.making = making
        self.events: list[Event] = []
        self._news = asyncio.Event()
        self._task = asyncio.create_task(self._make(), name="background response")
        # The caller's quota is settled when this ends, not with the request that began it.
        visit = visiting()
        visit.detached = True
        self._task.add_done_callback(lambda _: visit.close())

    @property
    def ended(self) -> bool:
        """Whether nothing more will be told."""
        return self._task.done()

    async def follow(self, after: int = -1) -> AsyncGenerator[list[Event], None]:
        """The events with a number above ``after``, as they come, those that are there together."""
        place = after + 1
        while True:
            news = self._news
            while new := self.events[place : place + _AT_ONCE]:
                place += len(new)
                yield new
            if self.ended:
                return
            await news.wait()

    async def cancel(self) -> None:
        """End it, unless it has ended."""
        if not self._task.done():
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            if self._task.cancelled():
                self.making.narrator.cancel()
                await self.making.keep()
        self._tell()

    async def _make(self) -> None:
        try:
            async with aclosing(self.making.events()) as events:
                await self.making.keep()
                async for new in events:
                    self.events += new
                    self._tell()
        except DovetailError as error:
            self.events += self.making.fail(error)
        except Exception:
            self.events += self.making.fail(INTERNAL)
            raise
        finally:
            asyncio.get_running_loop().call_soon(self._tell)

    def _tell(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()


class Background:
    """The runs of this process, by tenant and response id. Ended ones are kept as long as there is room: their events can be read again."""

    def __init__(self, keep: int = 64) -> None:
        self._runs: dict[tuple[str | None, str], Run] = {}
        self._keep = keep

    def start(self, making: Making) -> Run:
        """Begin to make a response."""
        run = Run(making)
        self._runs[tenant(), making.turn.response["id"]] = run
        ended = [key for key, each in self._runs.items() if each.ended]
        for key in ended[: max(0, len(self._runs) - self._keep)]:
            del self._runs[key]
        return run

    def find(self, id: str) -> Run | None:
        """A run of this process, and of the caller's tenant."""
        return self._runs.get((tenant(), id))
