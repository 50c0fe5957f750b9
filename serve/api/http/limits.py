"""ASGI middleware: how large a request's head may be, and how long its body may take to arrive. Knows no endpoint."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dovetail.serve.errors import DovetailError, UserError


@dataclass(frozen=True)
class Limits:
    """``head_bytes``: of the request's first line and its headers. ``idle_seconds``: between two pieces of a body; ``body_seconds``:
    until all of it is there."""

    headers: int = 100
    head_bytes: int = 64 * 1024
    idle_seconds: float = 30.0
    body_seconds: float = 300.0


class Limited:
    """Refuses requests with too large a head, and ends the wait for bodies that do not come.

    Args:
        say: the answer to a request that is refused.
    """

    def __init__(self, app: ASGIApp, limits: Limits, say: Callable[[Scope, DovetailError], Response]) -> None:
        self._app = app
        self._limits = limits
        self._say = say

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        error = self._too_large(scope)
        if error is not None:
            await self._say(scope, error)(scope, receive, send)
            return
        await self._app(scope, self._timed(receive), send)

    def _too_large(self, scope: Scope) -> UserError | None:
        headers, most = scope["headers"], self._limits
        if len(headers) > most.headers:
            message = f"The request has {len(headers)} headers; at most {most.headers} are read."
            return UserError(message, status=431, code="too_many_headers")
        size = sum(len(name) + len(value) + 4 for name, value in headers)
        size += len(scope.get("raw_path") or b"") + len(scope["query_string"])
        if size > most.head_bytes:
            message = f"The request's first line and headers have {size} bytes; at most {most.head_bytes} are read."
            return UserError(message, status=431, code="head_too_large")
        return None

    def _timed(self, receive: Receive) -> Receive:
        deadline = time.monotonic() + self._limits.body_seconds
        whole = False

        async def timed() -> Message:
            nonlocal whole
            if whole:
                return await receive()
            patience = min(self._limits.idle_seconds, deadline - time.monotonic())
            try:
                async with asyncio.timeout(max(0.0, patience)):
                    message = await receive()
            except TimeoutError as error:
                raise UserError(
                    "The request's body did not arrive in time.", status=408, code="body_too_slow"
                ) from error
            whole = message["type"] != "http.request" or not message.get("more_body", False)
            return message

        return timed
