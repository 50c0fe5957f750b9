"""Responses that are made while nobody waits: started, followed, cancelled. Knows no HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing, suppress

from dovetail.serve.api.access.inside import tenant
from dovetail.serve.api.access.visit import visiting
from dovetail.serve.api.http.failures import INTERNAL
from dovetail.serve.api.records import Claims
from dovetail.serve.api.responses.events import Event
from dovetail.serve.api.responses.making import Making
from dovetail.serve.errors import DovetailError, EngineError, UserError

_AT_ONCE = 256
_END_S = 10.0
"""How long another server may take to end what it makes."""
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

    def on_end(self, call: Callable[[], object]) -> None:
        """Have ``call`` called when it ends by itself."""
        self._task.add_done_callback(lambda task: None if task.cancelled() else call())

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
    """The runs of this process, by tenant and response id. Ended ones are kept as long as there is room: their events can be read again.

    Args:
        claims: say which server makes what.
    """

    def __init__(self, claims: Claims, keep: int = 64) -> None:
        self._claims = claims
        self._runs: dict[tuple[str | None, str], Run] = {}
        self._keep = keep
        self._asides: set[asyncio.Task[None]] = set()

    async def start(self, making: Making) -> Run:
        """Begin to make a response."""
        key = (tenant(), making.turn.response["id"])
        await self._claims.take(_claim(key[1]), lambda lost: self._aside(self._cancel(key)))
        run = self._runs[key] = Run(making)
        run.on_end(lambda: self._aside(self._given_back(key[1])))
        ended = [key for key, each in self._runs.items() if each.ended]
        for key in ended[: max(0, len(self._runs) - self._keep)]:
            del self._runs[key]
        return run

    def find(self, id: str) -> Run | None:
        """A run of this process, and of the caller's tenant."""
        return self._runs.get((tenant(), id))

    async def elsewhere(self, id: str) -> bool:
        """Whether another server makes it now."""
        return self.find(id) is None and await self._claims.held(_claim(id))

    async def end(self, id: str) -> None:
        """End it, wherever it is made. Raises a 409 where another server goes on with it."""
        if self.find(id) is not None:
            await self._cancel((tenant(), id))
        elif not await self._claims.end(_claim(id), _END_S):
            raise UserError(
                f"Another server still makes {id!r}, and was asked to end that; ask again.",
                status=409,
                code="still_running",
            )

    async def _cancel(self, key: tuple[str | None, str]) -> None:
        run = self._runs.get(key)
        if run is not None:
            await run.cancel()
            await self._given_back(key[1])

    async def _given_back(self, id: str) -> None:
        with suppress(EngineError):  # it runs out by itself
            await self._claims.give_back(_claim(id))

    def _aside(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._asides.add(task)
        task.add_done_callback(self._asides.discard)


def _claim(id: str) -> str:
    return f"response {id}"
