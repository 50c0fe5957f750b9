"""POST /v1/edits, whole and streamed: an instruction and files in, edits that fit out. Decides nothing about what fits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import msgspec
from fastapi import APIRouter, Response
from fastapi import Request as HttpRequest
from starlette.responses import JSONResponse

from dovetail.serve.api.context import ApiContext, fresh_id
from dovetail.serve.api.edits.asking import Held, edit_sampling, held_to, render
from dovetail.serve.api.edits.body import EditsBody, check_instruction, refuse_endings
from dovetail.serve.api.edits.events import EditEvents, TextEvents
from dovetail.serve.api.edits.outcome import outcome_of, told_edits, violations_counted
from dovetail.serve.api.edits.report import NOTHING, Landed
from dovetail.serve.api.edits.trace import Trace
from dovetail.serve.api.generation import Output
from dovetail.serve.api.http import sse
from dovetail.serve.api.http.body import check, read_object
from dovetail.serve.api.http.failures import body_of, told
from dovetail.serve.api.security.declined import declined_said, told_decline
from dovetail.serve.api.usage import usage_of
from dovetail.serve.errors import DovetailError
from dovetail.serve.govern.declines.conduct import Said
from dovetail.serve.govern.declines.judge import Decline
from dovetail.serve.types import Request, Usage

ENDPOINT = "/v1/edits"


@dataclass(frozen=True)
class Task:
    """One checked edit request."""

    id: str
    created: int
    instruction: str
    held: Held
    request: Request


def routes(context: ApiContext) -> APIRouter:
    """The edits endpoint."""
    router = APIRouter()

    @router.post(ENDPOINT)
    async def edits(http: HttpRequest) -> Response:
        body = check(EditsBody, await read_object(http, context.settings.max_body_bytes))
        task = await _task(context, body)
        if body.stream:
            return sse.EventStream(
                told(_stream(context, http, task), _said), keepalive_seconds=context.settings.keepalive_seconds
            )
        return JSONResponse(await sse.unless_gone(http, _whole(context, http, task)))

    return router


async def _task(context: ApiContext, body: EditsBody) -> Task:
    context.require_model(body.model)
    refuse_endings(body)
    check_instruction(body.instruction, "instruction")
    held = await held_to(context, body, body.security)
    prompt = tuple(await asyncio.to_thread(render, context.served, held.spec, body.instruction))
    task_id = fresh_id("edits")
    sampling = edit_sampling(
        body,
        context.served,
        prompt_tokens=len(prompt),
        room=context.room(len(prompt), "files"),
        max_tokens=body.max_tokens,
        logprobs=0 if held.trace else None,
    )
    request = Request(request_id=task_id, prompt=prompt, sampling=sampling, **body.scheduling(), constraint=held.spec)
    (request,) = context.reserve([request])
    return Task(task_id, int(time.time()), body.instruction, held, request)


async def _whole(context: ApiContext, http: HttpRequest, task: Task) -> dict[str, Any]:
    refused = await declined_said(context, http, [Said(task.instruction, True)])
    if refused is not None:
        return _declined(context, task, refused)
    output = Output()
    trace = Trace(context.served.codec)
    async with aclosing(context.generate(http, ENDPOINT, [task.request])) as events:
        async for _, event in events:
            output.take(event)
            if task.held.trace:
                trace.after(event)
    return await _answer(context, task, output, trace)


def _declined(context: ApiContext, task: Task, refused: Decline) -> dict[str, Any]:
    output = Output(usage=Usage(prompt_tokens=len(task.request.prompt)))
    said = {"refusal": refused.message, "security": told_decline(refused), "finish_reason": "content_filter"}
    return {**_told(context, task, output, NOTHING, told_edits(task.held, output, NOTHING)), **said}


async def _answer(context: ApiContext, task: Task, output: Output, trace: Trace) -> dict[str, Any]:
    outcome = await outcome_of(context, task.held, output, trace)
    answer = _told(context, task, output, outcome.landed, outcome.told)
    if outcome.security is not None:
        answer["security"] = outcome.security
    if outcome.blocked:
        answer["finish_reason"] = "content_filter"
    return answer


def _told(context: ApiContext, task: Task, output: Output, landed: Landed, edits: dict[str, Any]) -> dict[str, Any]:
    return {
        **_head(context, task),
        **edits,
        "text": landed.text,
        "finish_reason": output.finish,
        "usage": usage_of([task.request], [output]),
    }


async def _stream(context: ApiContext, http: HttpRequest, task: Task) -> AsyncGenerator[bytes, None]:
    output = Output()
    held = task.held
    blocks = held.spec.format == "blocks" and not held.spec.operations
    growing = EditEvents(held.spec.files, held.spec.markers) if blocks else TextEvents()
    trace = Trace(context.served.codec)
    markers = {"markers": msgspec.structs.asdict(held.spec.markers)} if held.trace else {}
    yield sse.typed("edits.started", {**_head(context, task), **markers})
    refused = await declined_said(context, http, [Said(task.instruction, True)])
    if refused is not None:
        yield sse.typed("edits.completed", _declined(context, task, refused))
        return
    async with aclosing(context.generate(http, ENDPOINT, [task.request])) as events:
        async for _, event in events:
            output.take(event)
            traced = trace.after(event) if held.trace else ()
            if held.rules.blocking:
                continue  # what may be withheld in the end is not told before
            with violations_counted(context):
                grown = growing.after(event)
            for name, payload in (*traced, *grown):
                yield sse.typed(name, payload)
    yield sse.typed("edits.completed", await _answer(context, task, output, trace))


def _said(error: DovetailError) -> bytes:
    return sse.typed("error", body_of(error))


def _head(context: ApiContext, task: Task) -> dict[str, Any]:
    return {
        "id": task.id,
        "object": "edits",
        "created": task.created,
        "model": context.served.name,
        "system_fingerprint": context.fingerprint,
    }
