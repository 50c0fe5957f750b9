"""Streams and their clients: when a client that leaves is one that left too early."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dovetail.serve.api.http.sse import DONE, Chunks, EventStream, LastEvent, data, typed


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


@given(st.dictionaries(st.text(max_size=5), st.text(), min_size=1), st.lists(st.dictionaries(st.text(), st.text())))
def test_chunks_are_events_with_the_head_and_one_choice_each(
    head: dict[str, str], choices: list[dict[str, str]]
) -> None:
    assume("choices" not in head)
    told = Chunks(head).told(choices).decode()
    assert [json.loads(line.removeprefix("data: ")) for line in told.split("\n\n")[:-1]] == [
        {**head, "choices": [choice]} for choice in choices
    ]


async def test_a_slow_reader_gets_no_comments_into_what_it_has_not_read_yet() -> None:
    bodies: list[bytes] = []
    reads = asyncio.Event()

    async def events() -> AsyncGenerator[bytes, None]:
        yield b"one"
        yield b"two"

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: dict[str, Any]) -> None:
        if message.get("body"):
            bodies.append(message["body"])
            await reads.wait()

    streaming = asyncio.create_task(EventStream(events(), keepalive_seconds=0.005)({"type": "http"}, receive, send))
    await asyncio.sleep(0.05)
    assert bodies == [b"one"]
    reads.set()
    await streaming
    assert bodies == [b"one", b"two"]
