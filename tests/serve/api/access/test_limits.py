"""How large a request's head may be, and how long its body may take."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from guarded_api import CHAT

from dovetail.serve.api.http.limits import Limits


async def test_too_many_headers(make_api) -> None:
    api = make_api(limits=Limits(headers=20))
    many = {f"x-{index}": "1" for index in range(20)}
    answer = await api.client.get("/v1/models", headers=many)
    assert (answer.status_code, answer.json()["error"]["code"]) == (431, "too_many_headers")


async def test_too_large_a_head(api) -> None:
    for headers, path in (
        ({"x-a": "1" * 40_000, "x-b": "1" * 30_000}, ""),
        ({"x-a": "1" * 60_000}, "?q=" + "1" * 6_000),
    ):
        answer = await api.client.get(f"/v1/models{path}", headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (431, "head_too_large")
    assert (await api.client.get("/v1/models", headers={"x-a": "1" * 60_000})).status_code == 200


async def test_a_body_that_does_not_come(make_api) -> None:
    async def dripping() -> AsyncIterator[bytes]:
        while True:
            yield b" "
            await asyncio.sleep(0.02)

    for limits in (Limits(idle_seconds=0.001), Limits(body_seconds=0.1)):
        answer = await make_api(limits=limits).client.post(CHAT, content=dripping())
        assert (answer.status_code, answer.json()["error"]["code"]) == (408, "body_too_slow")
