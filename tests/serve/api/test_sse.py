"""Streams and their clients: when a client that leaves is one that left too early."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from dovetail.serve.api.http.sse import DONE, EventStream, LastEvent, data, typed


@pytest.mark.parametrize(
    ("said", "early"),
    [
        (data({"choices": []}), True),
        (DONE, False),
        (typed("response.output_text.delta", {}), True),
        (LastEvent(typed("response.completed", {})), False),
    ],
)
async def test_a_client_that_leaves_with_the_last_event_in_hand_has_missed_nothing(said: bytes, early: bool) -> None:
    scope: dict[str, Any] = {"type": "http"}
    sent = asyncio.Event()
    closed = False

    async def events() -> AsyncGenerator[bytes, None]:
        nonlocal closed
        try:
            yield said
            await asyncio.Event().wait()
        finally:
            closed = True

    async def receive() -> dict[str, Any]:
        await sent.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        if message.get("body") == said:
            sent.set()

    await EventStream(events(), keepalive_seconds=60)(scope, receive, send)
    assert scope["dovetail.client_gone"] is early
    assert closed
