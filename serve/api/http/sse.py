"""Server-sent events: the framing, keep-alive comments, and noticing that the client has gone. Knows no payload."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Coroutine, Mapping
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

Result = TypeVar("Result")

KEEPALIVE = b": keepalive\n\n"


class LastEvent(bytes):
    """The event that ends an answer. Clients may leave with it in hand, and some do: they have missed nothing."""


DONE = LastEvent(b"data: [DONE]\n\n")


def data(payload: Mapping[str, Any]) -> bytes:
    """An event without a type, as the OpenAI endpoints send them."""
    return f"data: {json.dumps(payload, ensure_ascii=False, separators=(',', ':'))}\n\n".encode()


def typed(event: str, payload: Mapping[str, Any]) -> bytes:
    """An event with a type, repeated in its data for readers that look at the data alone."""
    return f"event: {event}\n".encode() + data({"type": event, **payload})


class EventStream(Response):
    """Streams ``events``. The headers leave at once; the generator is closed as soon as the client has gone."""

    media_type = "text/event-stream"

    def __init__(
        self, events: AsyncGenerator[bytes, None], *, keepalive_seconds: float, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(headers={"cache-control": "no-cache", "x-accel-buffering": "no", **(headers or {})})
        del self.headers["content-length"]
        self._events = events
        self._keepalive_seconds = keepalive_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        gone = asyncio.create_task(disconnected(receive))
        piece = asyncio.create_task(_next(self._events))
        complete = False
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await send({"type": "http.response.body", "body": b"", "more_body": True})
            while True:
                await asyncio.wait({gone, piece}, timeout=self._keepalive_seconds, return_when=asyncio.FIRST_COMPLETED)
                if gone.done():
                    scope["dovetail.client_gone"] = not complete
                    return
                body = piece.result() if piece.done() else KEEPALIVE
                if body is None:
                    break
                complete = complete or isinstance(body, LastEvent)
                await send({"type": "http.response.body", "body": body, "more_body": True})
                if piece.done():
                    piece = asyncio.create_task(_next(self._events))
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            await _stop(gone, piece)
            await self._events.aclose()


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


async def _next(events: AsyncGenerator[bytes, None]) -> bytes | None:
    return await anext(events, None)


async def _stop(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
