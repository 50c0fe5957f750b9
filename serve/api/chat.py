"""POST /v1/chat/completions, whole and streamed. Knows chat wire objects; the conversation's template is the model's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Response
from fastapi import Request as HttpRequest
from pydantic import Field
from starlette.responses import JSONResponse

from dovetail.serve.api import sse
from dovetail.serve.api.body import check, read_object
from dovetail.serve.api.context import ApiContext, fresh_id
from dovetail.serve.api.failures import sse_error, told
from dovetail.serve.api.fields import ignored_fields, not_available
from dovetail.serve.api.generation import Output
from dovetail.serve.api.logprobs import chat_logprobs
from dovetail.serve.api.messages import check_messages, check_prediction
from dovetail.serve.api.sampling import MAX_TOP_LOGPROBS, ManyFields, sampling_params
from dovetail.serve.api.structured import StructuredFields
from dovetail.serve.api.usage import usage_of
from dovetail.serve.errors import EngineError, UserError
from dovetail.serve.types import Event, FinishEvent, Request, RollbackEvent, TokensEvent

ENDPOINT = "/v1/chat/completions"


class ChatBody(ManyFields, StructuredFields):
    """The body of a chat request; messages are checked one by one in messages.py."""

    messages: list[Any]
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=MAX_TOP_LOGPROBS)] | None = None
    tools: list[Any] | None = None
    functions: list[Any] | None = None
    prediction: Any = None


@dataclass(frozen=True)
class Turn:
    """One checked chat request."""

    id: str
    created: int
    body: ChatBody
    requests: tuple[Request, ...]
    ignored: tuple[str, ...]


def routes(context: ApiContext) -> APIRouter:
    """The chat endpoint."""
    router = APIRouter()

    @router.post(ENDPOINT)
    async def chat_completions(http: HttpRequest) -> Response:
        body = check(ChatBody, await read_object(http, context.settings.max_body_bytes))
        turn = await _turn(context, body)
        headers = context.ignored_header(http, turn.ignored)
        if body.stream:
            return sse.EventStream(
                told(_stream(context, http, turn), sse_error, sse.DONE),
                keepalive_seconds=context.settings.keepalive_seconds,
                headers=headers,
            )
        return JSONResponse(await sse.unless_gone(http, _whole(context, http, turn)), headers=headers)

    return router


async def _turn(context: ApiContext, body: ChatBody) -> Turn:
    context.require_model(body.model)
    ignored = ignored_fields(body, *(name for name in ("tools", "functions") if getattr(body, name)))
    if body.stream_options is not None:
        ignored += [f"stream_options.{name}" for name in body.stream_options.model_extra or {}]
    if body.top_logprobs is not None and not body.logprobs:
        raise UserError("top_logprobs needs logprobs: true.", code="invalid_value", param="top_logprobs")
    messages = check_messages(body.messages)
    predicted = check_prediction(body.prediction)
    if context.served.render_chat is None:
        raise UserError(
            f"{context.served.name} has no chat template; use /v1/completions.", code="unsupported_model", param="model"
        )
    choices = body.n or 1
    if choices > context.settings.max_choices:
        raise not_available("n", f" (at most {context.settings.max_choices})")
    context.admit(choices)
    constraint, left_out = await context.grammars.wanted(body)
    ignored += left_out
    prompt = tuple(await asyncio.to_thread(context.served.render_chat, messages))
    prediction = tuple(await asyncio.to_thread(context.served.codec.encode, predicted)) if predicted else ()
    room = context.room(len(prompt), "messages")
    asked = body.max_completion_tokens or body.max_tokens
    turn_id = fresh_id("chatcmpl")
    requests = tuple(
        Request(
            request_id=f"{turn_id}-{index}",
            prompt=prompt,
            prediction=prediction,
            constraint=constraint,
            **body.scheduling(),
            sampling=sampling_params(
                body,
                context.served,
                max_tokens=min(asked or room, room),
                index=index,
                logprobs=(body.top_logprobs or 0) if body.logprobs else None,
            ),
        )
        for index in range(choices)
    )
    return Turn(turn_id, int(time.time()), body, requests, tuple(ignored))


async def _whole(context: ApiContext, http: HttpRequest, turn: Turn) -> dict[str, Any]:
    outputs = [Output() for _ in turn.requests]
    async with aclosing(context.generate(http, ENDPOINT, turn.requests)) as events:
        async for index, event in events:
            outputs[index].take(event)
    choices = [
        {
            "index": index,
            "message": {"role": "assistant", "content": output.text, "refusal": None},
            "logprobs": chat_logprobs(context.served.codec, output.logprobs) if turn.body.logprobs else None,
            "finish_reason": output.finish,
        }
        for index, output in enumerate(outputs)
    ]
    return {
        **_head(context, turn, "chat.completion"),
        "choices": choices,
        "usage": usage_of(turn.requests, outputs, len(outputs)),
    }


async def _stream(context: ApiContext, http: HttpRequest, turn: Turn) -> AsyncGenerator[bytes, None]:
    head = _head(context, turn, "chat.completion.chunk")
    if turn.body.include_usage:
        head["usage"] = None
    outputs = [Output() for _ in turn.requests]
    for index in range(len(outputs)):
        yield sse.data({**head, "choices": [_delta(index, {"role": "assistant", "content": ""})]})
    async with aclosing(context.generate(http, ENDPOINT, turn.requests)) as events:
        async for index, event in events:
            outputs[index].take(event)
            for choice in _choices(context, turn, index, event):
                yield sse.data({**head, "choices": [choice]})
    if turn.body.include_usage:
        yield sse.data({**head, "choices": [], "usage": usage_of(turn.requests, outputs, len(outputs))})


def _choices(context: ApiContext, turn: Turn, index: int, event: Event) -> Sequence[dict[str, Any]]:
    """What one event adds to the stream: nothing, a delta, or the finish reason."""
    if isinstance(event, TokensEvent):
        logprobs = chat_logprobs(context.served.codec, event.logprobs) if event.logprobs else None
        if event.text or logprobs:
            return [_delta(index, {"content": event.text}, logprobs)]
    elif isinstance(event, FinishEvent):
        return [_delta(index, {}, finish=event.reason)]
    elif isinstance(event, RollbackEvent):
        raise EngineError("The engine took back text that was already sent.", status=500, code="internal_error")
    return []


def _delta(
    index: int, delta: dict[str, Any], logprobs: dict[str, Any] | None = None, finish: str | None = None
) -> dict[str, Any]:
    return {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish}


def _head(context: ApiContext, turn: Turn, kind: str) -> dict[str, Any]:
    return {
        "id": turn.id,
        "object": kind,
        "created": turn.created,
        "model": context.served.name,
        "system_fingerprint": context.fingerprint,
    }
