"""Server-sent events: the framing, keep-alive comments, and noticing that the client has gone. Knows no payload."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Coroutine, Iterable, Mapping
from typing import Any, TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

Result = TypeVar("Result")

KEEPALIVE = b": keepalive\n\n"

SEND = "dovetail.send"
"""In the scope: what takes messages to the connection. Whatever stands between it and a route looks at an answer's beginning only, and
a stream's events, which are many, go by it."""

encode = msgspec.json.Encoder().encode
"""A payload as JSON."""


class LastEvent(bytes):
    """The event that ends an answer. Clients may leave with it in hand, and some do: they have missed nothing."""


DONE = LastEvent(b"data: [DONE]\n\n")


def data(payload: Mapping[str, Any]) -> bytes:
    """An event without a type, as the OpenAI endpoints send them."""
    return b"data: " + encode(payload) + b"\n\n"


def typed(event: str, payload: Mapping[str, Any]) -> bytes:
    """An event with a type, repeated in its data for readers that look at the data alone."""
    return b"event: %b\ndata: %b\n\n" % (event.encode(), encode({"type": event, **payload}))


class Chunks:
    """Events without a type that all begin alike: ``head``, and then what is new as the list ``choices``."""

    def __init__(self, head: Mapping[str, Any]) -> None:
        self._before = b"data: " + encode(head)[:-1] + b',"choices":['

    def told(self, choices: Iterable[Mapping[str, Any]]) -> bytes:
        """An event for each choice, in one piece; nothing for none."""
        return b"".join([self._before + encode(choice) + b"]}\n\n" for choice in choices])


class EventStream(Response):
    """Streams ``events``. The headers leave at once; the generator is closed as soon as the client has gone.

    An item of ``events`` may hold several events, and is written at once.
    """

    media_type = "text/event-stream"

    def __init__(
        self, events: AsyncGenerator[bytes, None], *, keepalive_seconds: float, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(headers={"cache-control": "no-cache", "x-accel-buffering": "no", **(headers or {})})
        del self.headers["content-length"]
        self._events = events
        self._keepalive_seconds = keepalive_seconds
        self._heard = 0.0
        self._sending = False
        self._complete = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        send = scope.get(SEND, send)
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        self._heard = time.monotonic()
        gone = asyncio.create_task(disconnected(receive))
        telling = asyncio.create_task(self._tell(send))
        try:
            # One task tells all events: this one wakes up for silences, the client's leaving, and the end.
            while True:
                silent = time.monotonic() - self._heard
                if silent >= self._keepalive_seconds:
                    self._heard, silent = time.monotonic(), 0.0
                    if not self._sending:
                        await send({"type": "http.response.body", "body": KEEPALIVE, "more_body": True})
                await asyncio.wait(
                    {gone, telling}, timeout=self._keepalive_seconds - silent, return_when=asyncio.FIRST_COMPLETED
                )
                if telling.done():
                    telling.result()
                    return
                if gone.done():
                    scope["dovetail.client_gone"] = not self._complete
                    return
        finally:
            await _stop(gone, telling)
            await self._events.aclose()

    async def _tell(self, send: Send) -> None:
        async for body in self._events:
            self._complete = self._complete or isinstance(body, LastEvent)
            self._sending = True
            await send({"type": "http.response.body", "body": body, "more_body": True})
            self._sending = False
            self._heard = time.monotonic()
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def unless_gone(request: Request, work: Coroutine[Any, Any, Result]) -> Result:
    """The result of ``work``, which is cancelled (and ClientDisconnect raised) if the client leaves before."""
    task = asyncio.create_task(work)
    gone = asyncio.create_task(disconnected(request.receive))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        await _stop(gone, task)


async def disconnected(receive: Receive) -> None:
    """Return when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _stop(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
