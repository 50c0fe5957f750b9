"""POST /v1/completions, whole and streamed: plain continuation of text or token ids."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated, Any, NoReturn

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
from dovetail.serve.api.logprobs import completion_logprobs, text_length
from dovetail.serve.api.sampling import MAX_TOP_LOGPROBS, ManyFields, sampling_params
from dovetail.serve.api.structured import StructuredFields
from dovetail.serve.api.usage import usage_of
from dovetail.serve.errors import EngineError, UserError
from dovetail.serve.types import FinishEvent, Request, RollbackEvent, TokensEvent

ENDPOINT = "/v1/completions"
DEFAULT_MAX_TOKENS = 16
"""What OpenAI's endpoint does when max_tokens is left out."""


class CompletionBody(ManyFields, StructuredFields):
    """The body of a completion request; the prompt's four forms are told apart in ``prompts_of``."""

    prompt: Any
    echo: bool | None = None
    logprobs: Annotated[int, Field(ge=0, le=MAX_TOP_LOGPROBS)] | None = None
    best_of: Annotated[int, Field(ge=1)] | None = None


@dataclass(frozen=True)
class Job:
    """One checked completion request; ``echoes`` holds the text before each choice."""

    id: str
    created: int
    body: CompletionBody
    requests: tuple[Request, ...]
    echoes: tuple[str, ...]
    ignored: tuple[str, ...]

    @property
    def answers(self) -> int:
        """Choices per prompt."""
        return self.body.n or 1


def routes(context: ApiContext) -> APIRouter:
    """The completions endpoint."""
    router = APIRouter()

    @router.post(ENDPOINT)
    async def completions(http: HttpRequest) -> Response:
        body = check(CompletionBody, await read_object(http, context.settings.max_body_bytes))
        job = await _job(context, body)
        headers = context.ignored_header(http, job.ignored)
        if body.stream:
            return sse.EventStream(
                told(_stream(context, http, job), sse_error, sse.DONE),
                keepalive_seconds=context.settings.keepalive_seconds,
                headers=headers,
            )
        return JSONResponse(await sse.unless_gone(http, _whole(context, http, job)), headers=headers)

    return router


def prompts_of(value: Any, size: int) -> list[str | list[int]]:
    """The prompts in any of the four wire forms: text, texts, token ids, lists of token ids."""
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list) or not value:
        _refuse("prompt", "must be a string, a list of strings, or one or several lists of token ids")
    if _is_id(value[0]):
        return [_ids(value, "prompt", size)]
    prompts: list[str | list[int]] = []
    for index, item in enumerate(value):
        if isinstance(item, str) and isinstance(value[0], str):
            prompts.append(item)
        elif isinstance(item, list) and isinstance(value[0], list):
            prompts.append(_ids(item, f"prompt[{index}]", size))
        else:
            _refuse(f"prompt[{index}]", "must be a string, or a list of token ids, like all others")
    return prompts


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _ids(value: list[Any], path: str, size: int) -> list[int]:
    for index, token in enumerate(value):
        if not _is_id(token) or not 0 <= token < size:
            _refuse(f"{path}[{index}]", f"must be a token id of this model (0 to {size - 1})")
    return value


def _refuse(path: str, what: str) -> NoReturn:
    raise UserError(f"{path}: {what}.", code="invalid_value", param=path)


async def _job(context: ApiContext, body: CompletionBody) -> Job:
    context.require_model(body.model)
    ignored = ignored_fields(body)
    if body.stream_options is not None:
        ignored += [f"stream_options.{name}" for name in body.stream_options.model_extra or {}]
    answers = body.n or 1
    if body.best_of is not None and body.best_of != answers:
        raise not_available("best_of", " (it must equal n)")
    if body.echo and body.logprobs is not None:
        raise not_available("echo", " (together with logprobs)")
    codec = context.served.codec
    wire = prompts_of(body.prompt, codec.size)
    if len(wire) * answers > context.settings.max_choices:
        raise not_available("n", f" (prompts times n may be at most {context.settings.max_choices})")
    context.admit(len(wire) * answers)
    constraint, left_out = await context.grammars.wanted(body)
    ignored += left_out
    job_id = fresh_id("cmpl")
    requests: list[Request] = []
    echoes: list[str] = []
    for number, item in enumerate(wire):
        path = "prompt" if len(wire) == 1 else f"prompt[{number}]"
        ids = await asyncio.to_thread(codec.encode_prompt, item) if isinstance(item, str) else item
        if not ids:
            _refuse(path, "is empty")
        room = context.room(len(ids), path)
        text = (item if isinstance(item, str) else codec.decode(item)) if body.echo else ""
        for index in range(answers):
            sampling = sampling_params(
                body,
                context.served,
                max_tokens=min(body.max_tokens or DEFAULT_MAX_TOKENS, room),
                index=index,
                logprobs=body.logprobs,
            )
            request_id = f"{job_id}-{len(requests)}"
            requests.append(
                Request(
                    request_id=request_id,
                    prompt=tuple(ids),
                    sampling=sampling,
                    constraint=constraint,
                    **body.scheduling(),
                )
            )
            echoes.append(text)
    return Job(job_id, int(time.time()), body, tuple(requests), tuple(echoes), tuple(ignored))


async def _whole(context: ApiContext, http: HttpRequest, job: Job) -> dict[str, Any]:
    outputs = [Output() for _ in job.requests]
    async with aclosing(context.generate(http, ENDPOINT, job.requests)) as events:
        async for index, event in events:
            outputs[index].take(event)
    choices = [
        _choice(
            index,
            job.echoes[index] + output.text,
            None if job.body.logprobs is None else completion_logprobs(context.served.codec, output.logprobs),
            output.finish,
        )
        for index, output in enumerate(outputs)
    ]
    usage = usage_of(job.requests, outputs, job.answers)
    return {**_head(context, job), "choices": choices, "usage": usage}


async def _stream(context: ApiContext, http: HttpRequest, job: Job) -> AsyncGenerator[bytes, None]:
    head = _head(context, job)
    if job.body.include_usage:
        head["usage"] = None
    outputs = [Output() for _ in job.requests]
    offsets = [0] * len(outputs)
    codec = context.served.codec
    for index, echo in enumerate(job.echoes):
        if echo:
            yield sse.data({**head, "choices": [_choice(index, echo)]})
    async with aclosing(context.generate(http, ENDPOINT, job.requests)) as events:
        async for index, event in events:
            outputs[index].take(event)
            if isinstance(event, TokensEvent):
                entries = event.logprobs or ()
                logprobs = completion_logprobs(codec, entries, offsets[index]) if entries else None
                offsets[index] += sum(text_length(codec, entry) for entry in entries)
                if event.text or logprobs:
                    yield sse.data({**head, "choices": [_choice(index, event.text, logprobs)]})
            elif isinstance(event, FinishEvent):
                yield sse.data({**head, "choices": [_choice(index, "", None, event.reason)]})
            elif isinstance(event, RollbackEvent):
                raise EngineError("The engine took back text that was already sent.", status=500)
    if job.body.include_usage:
        yield sse.data({**head, "choices": [], "usage": usage_of(job.requests, outputs, job.answers)})


def _choice(index: int, text: str, logprobs: dict[str, Any] | None = None, finish: str | None = None) -> dict[str, Any]:
    return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": finish}


def _head(context: ApiContext, job: Job) -> dict[str, Any]:
    return {
        "id": job.id,
        "object": "text_completion",
        "created": job.created,
        "model": context.served.name,
        "system_fingerprint": context.fingerprint,
    }
