"""/v1/messages, whole and streamed, /v1/messages/count_tokens, and the probes that clients of this protocol make."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import msgspec
from fastapi import APIRouter, Response
from fastapi import Request as HttpRequest
from starlette.responses import JSONResponse

from dovetail.serve.api.anthropic.body import ContextFields, MessagesBody
from dovetail.serve.api.anthropic.errors import sse_error
from dovetail.serve.api.anthropic.events import Event, Narrator
from dovetail.serve.api.anthropic.history import THINKING, History
from dovetail.serve.api.anthropic.tools import read_tool_choice, read_tools
from dovetail.serve.api.context import ApiContext
from dovetail.serve.api.conversation.answer import answers
from dovetail.serve.api.conversation.asking import engine_requests, prompt_ids
from dovetail.serve.api.conversation.conversation import Conversation
from dovetail.serve.api.conversation.pieces import Finish, Piece
from dovetail.serve.api.http import sse
from dovetail.serve.api.http.body import check, read_object
from dovetail.serve.api.http.failures import told
from dovetail.serve.api.http.fields import ignored_fields
from dovetail.serve.api.ids import fresh
from dovetail.serve.api.sealed import Sealer
from dovetail.serve.types import Request

ENDPOINT = "/v1/messages"


@dataclass(frozen=True)
class Turn:
    """One message to be made. ``warms``: of an answer nothing is told but its end."""

    conversation: Conversation
    requests: tuple[Request, ...]
    narrator: Narrator
    headers: dict[str, str]
    warms: bool


def routes(context: ApiContext, sealer: Sealer) -> APIRouter:
    """The endpoints."""
    router = APIRouter()

    @router.post(ENDPOINT)
    async def create(http: HttpRequest) -> Response:
        body = check(MessagesBody, await read_object(http, context.settings.max_body_bytes))
        turn = await _turn(context, sealer, http, body)
        if body.stream:
            return sse.EventStream(
                told(_stream(context, http, turn), partial(sse_error, request_id=turn.headers["request-id"])),
                keepalive_seconds=context.settings.keepalive_seconds,
                headers=turn.headers,
            )
        return JSONResponse(await sse.unless_gone(http, _whole(context, http, turn)), headers=turn.headers)

    @router.post(f"{ENDPOINT}/count_tokens")
    async def count(http: HttpRequest) -> Response:
        body = check(ContextFields, await read_object(http, context.settings.max_body_bytes))
        context.require_model(body.model)
        conversation, untold = _conversation(context, sealer, body)
        tokens = await asyncio.to_thread(prompt_ids, context, conversation)
        headers = context.ignored_header(http, ignored_fields(body, *untold))
        return JSONResponse({"input_tokens": len(tokens)}, headers=headers)

    @router.head("/api/hello", include_in_schema=False)
    @router.get("/api/hello", include_in_schema=False)
    async def hello() -> Response:
        return JSONResponse({"message": "hello"})

    return router


def _conversation(context: ApiContext, sealer: Sealer, body: ContextFields) -> tuple[Conversation, list[str]]:
    """What the model is told, and the names of what it is not told."""
    history = History(sealer)
    history.add_system(body.system, drop_billing=context.settings.drop_billing_header)
    history.add(body.messages)
    offered = read_tools(body.tools, history.changes)
    choice, parallel = read_tool_choice(body.tool_choice, offered)
    conversation = Conversation(
        messages=history.finished(offered.tools),
        tools=offered.tools,
        tool_choice=choice,
        parallel=parallel,
        effort=body.effort,
        security=body.secured if isinstance(body, MessagesBody) else None,
    )
    return conversation, [*history.ignored, *(f"tools.{name}" for name in offered.unavailable)]


async def _turn(context: ApiContext, sealer: Sealer, http: HttpRequest, body: MessagesBody) -> Turn:
    context.require_model(body.model)
    conversation, untold = _conversation(context, sealer, body)
    message_id = fresh("msg")
    fields = body.model_copy(update={"stop": body.stop_sequences}) if body.stop_sequences else body
    left_out = await context.grammars.held(body.answer_format, body)
    requests = await engine_requests(
        context,
        conversation,
        fields,
        message_id,
        max_tokens=1 if body.warms else body.max_tokens,
        answer=body.answer_format,
    )
    narrator = Narrator(
        message_id,
        context.served.name,
        len(requests[0].prompt),
        seal=partial(sealer.seal, THINKING) if body.thinks else None,
        omit=body.thinking is not None and body.thinking.display == "omitted",
        window=not body.warms
        and len(requests[0].prompt) + requests[0].sampling.max_tokens >= context.served.max_model_len,
    )
    if body.context_management is not None:
        narrator.message["context_management"] = {"applied_edits": []}
    headers = {"request-id": str(http.scope.get("dovetail.request_id", ""))}
    return Turn(
        conversation,
        requests,
        narrator,
        {**headers, **context.ignored_header(http, [*body.ignored(), *left_out, *untold])},
        body.warms,
    )


async def _events(context: ApiContext, http: HttpRequest, turn: Turn) -> AsyncGenerator[list[Event], None]:
    """Those of one step together."""
    yield turn.narrator.begin()
    async with aclosing(answers(context, http, ENDPOINT, turn.conversation, turn.requests)) as pieces:
        async for _, new in pieces:
            told_now = _unsaid(new) if turn.warms else new
            yield [event for piece in told_now for event in turn.narrator.take(piece)]


def _unsaid(pieces: Sequence[Piece]) -> list[Piece]:
    """The end alone: the one token that the engine made to fill its cache is nobody's answer."""
    return [
        replace(piece, reason="length", usage=msgspec.structs.replace(piece.usage, completion_tokens=0))
        for piece in pieces
        if isinstance(piece, Finish)
    ]


async def _stream(context: ApiContext, http: HttpRequest, turn: Turn) -> AsyncGenerator[bytes, None]:
    async with aclosing(_events(context, http, turn)) as events:
        async for told_now in events:
            if told_now:
                said = b"".join([sse.typed(event["type"], event) for event in told_now])
                yield sse.LastEvent(said) if told_now[-1]["type"] == "message_stop" else said


async def _whole(context: ApiContext, http: HttpRequest, turn: Turn) -> dict[str, Any]:
    async with aclosing(_events(context, http, turn)) as events:
        async for _ in events:
            pass
    return turn.narrator.message
