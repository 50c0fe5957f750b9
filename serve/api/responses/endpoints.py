"""/v1/responses and what lies below it: HTTP in front of the making, keeping and reading of responses."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from fastapi import APIRouter, Response
from fastapi import Request as HttpRequest
from starlette.responses import JSONResponse

from dovetail.serve.api.conversation.asking import prompt_ids
from dovetail.serve.api.http import sse
from dovetail.serve.api.http.body import check, read_object
from dovetail.serve.api.http.failures import told
from dovetail.serve.api.http.fields import ignored_fields, not_available
from dovetail.serve.api.ids import fresh
from dovetail.serve.api.responses.background import LOST, Background
from dovetail.serve.api.responses.body import ContextFields, ResponseBody
from dovetail.serve.api.responses.events import Event
from dovetail.serve.api.responses.listing import page, starting_after
from dovetail.serve.api.responses.making import ENDPOINT, Making, Responses
from dovetail.serve.api.responses.turn import prepare, read_told
from dovetail.serve.errors import DovetailError, UserError

RUNNING = ("queued", "in_progress")
ENDS = ("response.completed", "response.incomplete", "response.failed")


def routes(shared: Responses) -> APIRouter:
    """The endpoints."""
    router = APIRouter()
    background = Background(shared.archive.claims)
    limit = shared.context.settings.max_body_bytes

    async def stored(id: str) -> dict[str, Any]:
        return await shared.archive.aside(shared.archive.response, id)

    @router.post(ENDPOINT)
    async def create(http: HttpRequest) -> Response:
        body = check(ResponseBody, await read_object(http, limit))
        turn = await prepare(shared.context, shared.archive, shared.sealer, body)
        headers = shared.context.ignored_header(http, turn.ignored)
        making = Making(shared, http, turn)
        if body.background:
            queued = {**turn.response, "status": "queued", "output": [], "error": None}
            shared.archive.keep(queued, turn.told.items)
            await shared.archive.written()
            run = await background.start(making)
            return _stream(shared, run.follow(), headers) if body.stream else JSONResponse(queued, headers=headers)
        if body.stream:
            return _stream(shared, making.events(), headers, making)
        return JSONResponse(await sse.unless_gone(http, making.whole()), headers=headers)

    @router.get(ENDPOINT)
    async def no_websocket(http: HttpRequest) -> Response:
        # Codex tries a WebSocket first, and falls back at once on this status alone.
        raise UserError(
            "Responses are served over HTTP here: POST this path.", status=426, code="upgrade_not_supported"
        )

    @router.post(f"{ENDPOINT}/input_tokens")
    async def count(http: HttpRequest) -> Response:
        body = check(ContextFields, await read_object(http, limit))
        shared.context.require_model(body.model)
        counted = await shared.archive.aside(read_told, shared.archive, shared.sealer, body)
        tokens = await asyncio.to_thread(prompt_ids, shared.context, counted.conversation)
        headers = shared.context.ignored_header(http, ignored_fields(body, *counted.ignored))
        return JSONResponse({"object": "response.input_tokens", "input_tokens": len(tokens)}, headers=headers)

    @router.post(f"{ENDPOINT}/compact")
    async def compact(http: HttpRequest) -> Response:
        making = await _compacting(shared, http, await read_object(http, limit))
        headers = shared.context.ignored_header(http, making.turn.ignored)
        return JSONResponse(await sse.unless_gone(http, _compacted(making)), headers=headers)

    @router.get(ENDPOINT + "/{response_id}")
    async def retrieve(http: HttpRequest, response_id: str) -> Response:
        run = background.find(response_id)
        if http.query_params.get("stream") == "true":
            if run is None:
                raise UserError(
                    "Only a background response of this server process can be streamed again.", param="stream"
                )
            return _stream(shared, run.follow(starting_after(http.query_params)), {})
        response = await stored(response_id)
        lost = response["status"] in RUNNING and run is None and not await background.elsewhere(response_id)
        # It may have ended between the two questions.
        if lost and (response := await stored(response_id))["status"] in RUNNING:
            response |= {"status": "failed", "error": {"code": "server_error", "message": LOST.message}}
        return JSONResponse(response)

    @router.delete(ENDPOINT + "/{response_id}")
    async def delete(response_id: str) -> Response:
        await stored(response_id)
        await background.end(response_id)
        await shared.archive.aside(shared.archive.drop, response_id)
        await shared.archive.written()
        return JSONResponse({"id": response_id, "object": "response", "deleted": True})

    @router.post(ENDPOINT + "/{response_id}/cancel")
    async def cancel(response_id: str) -> Response:
        response = await stored(response_id)
        if not response["background"]:
            raise UserError("Only a response made with background: true can be cancelled.", code="not_cancellable")
        await background.end(response_id)
        return JSONResponse(await stored(response_id))

    @router.get(ENDPOINT + "/{response_id}/input_items")
    async def input_items(http: HttpRequest, response_id: str) -> Response:
        items = await shared.archive.aside(shared.archive.input_items, response_id)
        return JSONResponse(page(items, http.query_params))

    return router


def _stream(
    shared: Responses, events: AsyncGenerator[list[Event], None], headers: dict[str, str], making: Making | None = None
) -> Response:
    def say(error: DovetailError) -> bytes:
        return _sent(making.fail(error)) if making is not None else b""

    return sse.EventStream(
        told(_bytes(events), say), keepalive_seconds=shared.context.settings.keepalive_seconds, headers=headers
    )


async def _bytes(events: AsyncGenerator[list[Event], None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(events):
        async for together in events:
            if together:
                yield _sent(together)


def _sent(events: list[Event]) -> bytes:
    said = b"".join([sse.typed(event["type"], event) for event in events])
    return sse.LastEvent(said) if any(event["type"] in ENDS for event in events) else said


async def _compacting(shared: Responses, http: HttpRequest, wire: dict[str, Any]) -> Making:
    """The making of what takes a conversation's place. It is answered whole, and never kept."""
    asked = check(ContextFields, wire)
    items = [{"role": "user", "content": asked.input}] if isinstance(asked.input, str) else asked.input or []
    if not isinstance(items, list):
        raise UserError("input: must be a string or a list of items.", code="invalid_value", param="input")
    for name in ("stream", "background"):
        if wire.get(name):
            raise not_available(name, " (a compaction is answered whole)")
    body = check(ResponseBody, {**wire, "input": [*items, {"type": "compaction_trigger"}], "store": False})
    return Making(shared, http, await prepare(shared.context, shared.archive, shared.sealer, body))


async def _compacted(making: Making) -> dict[str, Any]:
    """The conversation's user messages, and one compaction item for all the rest."""
    response = await making.whole()
    kept = [item for item in making.turn.told.items if item["type"] == "message" and item["role"] == "user"]
    return {
        "id": fresh("resp"),
        "object": "response.compaction",
        "created_at": int(time.time()),
        "output": [*kept, *response["output"]],
        "usage": response["usage"],
    }
