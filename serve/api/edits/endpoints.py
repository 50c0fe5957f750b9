"""POST /v1/edits, whole and streamed: an instruction and files in, edits that fit out. Decides nothing about what fits."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
from fastapi import APIRouter, Response
from fastapi import Request as HttpRequest
from starlette.responses import JSONResponse

from dovetail.serve.api.access.visit import visiting
from dovetail.serve.api.context import ApiContext, fresh_id
from dovetail.serve.api.edits.body import EditsBody, check_edits, check_protected
from dovetail.serve.api.edits.events import EditEvents, TextEvents
from dovetail.serve.api.edits.notes import note_edits
from dovetail.serve.api.edits.policy import policy_for, report_of
from dovetail.serve.api.edits.report import (
    NOTHING,
    GuaranteeViolated,
    Landed,
    constraint_of,
    edits_of,
    land,
    scan_of,
)
from dovetail.serve.api.edits.trace import Trace
from dovetail.serve.api.generation import Output
from dovetail.serve.api.http import sse
from dovetail.serve.api.http.body import check, read_object
from dovetail.serve.api.http.failures import body_of, told
from dovetail.serve.api.sampling import sampling_params
from dovetail.serve.api.security.declined import declined_said, told_decline
from dovetail.serve.api.security.fields import rules_for, told_findings
from dovetail.serve.api.security.notes import note_found
from dovetail.serve.api.served import ServedModel
from dovetail.serve.api.usage import usage_of
from dovetail.serve.edit.formats.blocks.markers import choose_markers
from dovetail.serve.edit.formats.registry import FORMATS
from dovetail.serve.edit.landing.job import refuse_unread
from dovetail.serve.edit.policy.combine import Policy
from dovetail.serve.edit.view import as_read
from dovetail.serve.errors import DovetailError, UserError
from dovetail.serve.govern.declines.conduct import Said
from dovetail.serve.govern.declines.judge import Decline
from dovetail.serve.govern.findings.rules import RuleSet
from dovetail.serve.types import EditSpec, Request, SourceFile, Usage

ENDPOINT = "/v1/edits"


@dataclass(frozen=True)
class Task:
    """One checked edit request."""

    id: str
    created: int
    body: EditsBody
    spec: EditSpec
    request: Request
    policy: Policy | None
    rules: RuleSet


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
    files = check_edits(body)
    policy = await asyncio.to_thread(policy_for, context.settings.policy, body.policy)
    rules = rules_for(policy, body.security)
    context.admit(1)
    if policy is not None:
        await asyncio.to_thread(_refuse_unread, context, policy, files)
    spec = EditSpec(
        files=files,
        markers=await asyncio.to_thread(lambda: choose_markers(as_read(files))),
        format=body.format,
        syntax=body.syntax,
        protected=check_protected(files, body.protected),
        operations=tuple(body.operations or ()),
        line_ends="own",
        policy=policy.texts if policy is not None else (),
    )
    prompt = tuple(await asyncio.to_thread(render, context.served, spec, body.instruction))
    room = context.room(len(prompt), "files")
    # No useful edit is much longer than the files it is about; a model that rambles must not do so to the context's end.
    usual = 1024 + 2 * len(prompt)
    task_id = fresh_id("edits")
    request = Request(
        request_id=task_id,
        prompt=prompt,
        sampling=sampling_params(
            body,
            context.served,
            max_tokens=min(body.max_tokens or usual, room),
            logprobs=0 if body.trace else None,
            defaults=dataclasses.replace(context.served.defaults, temperature=0.0, repetition_penalty=1.0),
        ),
        **body.scheduling(),
        constraint=spec,
    )
    (request,) = context.reserve([request])
    return Task(task_id, int(time.time()), body, spec, request, policy, rules)


def _refuse_unread(context: ApiContext, policy: Policy, files: Sequence[SourceFile]) -> None:
    """Raise a UserError if the policy would have to read a file that cannot be read."""
    needed = [file for file in files if policy.may_edit(file.path) and policy.parses(file.path)]
    refuse_unread(policy, context.landings.unreadable(needed), needed)


def render(served: ServedModel, spec: EditSpec, instruction: str) -> list[int]:
    """The prompt, in the form that the model was trained on if it has one, else as a conversation.

    A model's own form is of blocks over the given files; every other format is asked for in a conversation.
    """
    files = as_read(spec.files, spec.line_ends)
    if served.render_edit is not None and spec.format == "blocks" and not spec.operations:
        return served.render_edit(files, instruction, spec.markers)
    if served.render_chat is not None:
        messages = FORMATS[spec.format].messages(files, instruction, spec.markers, spec.operations)
        return served.render_chat(list(messages))
    if served.render_edit is not None:
        raise UserError(
            f"{served.name} has no chat template; it can be asked for blocks without operations only.",
            code="unsupported_format",
            param="format" if spec.format != "blocks" else "operations",
        )
    raise UserError(
        f"{served.name} has neither an edit template nor a chat template.", code="unsupported_model", param="model"
    )


async def _whole(context: ApiContext, http: HttpRequest, task: Task) -> dict[str, Any]:
    refused = await declined_said(context, http, [Said(task.body.instruction, True)])
    if refused is not None:
        return _declined(context, task, refused)
    output = Output()
    trace = Trace(context.served.codec)
    async with aclosing(context.generate(http, ENDPOINT, [task.request])) as events:
        async for _, event in events:
            output.take(event)
            if task.body.trace:
                trace.after(event)
    return await _answer(context, task, output, trace)


def _declined(context: ApiContext, task: Task, refused: Decline) -> dict[str, Any]:
    output = Output(usage=Usage(prompt_tokens=len(task.request.prompt)))
    told = {"refusal": refused.message, "security": told_decline(refused), "finish_reason": "content_filter"}
    return {**_told(context, task, output, NOTHING), **told}


async def _answer(context: ApiContext, task: Task, output: Output, trace: Trace) -> dict[str, Any]:
    unchecked = output.constraint.unchecked if output.constraint is not None else {}
    with _violations_counted(context):
        landed = await asyncio.to_thread(land, output.text, task.spec, context.landings, unchecked)
    scan = await asyncio.to_thread(scan_of, task.rules, task.spec.files, landed)
    note_found(context.metrics, scan.found)
    blocked = any(each.action == "block" for each in scan.found)
    if blocked:
        landed = NOTHING
    context.metrics.edits.inc(landed.count)
    answer = _told(context, task, output, landed)
    if task.rules:
        answer["security"] = told_findings(scan.found, task.body.security, complete=scan.complete, blocked=blocked)
    if blocked:
        answer["finish_reason"] = "content_filter"
    elif task.body.trace:
        answer["tokens"] = trace.tokens
    return answer


def _told(context: ApiContext, task: Task, output: Output, landed: Landed) -> dict[str, Any]:
    vetoes = output.constraint.vetoes if output.constraint is not None else ()
    note_edits(visiting().trail, landed.edits, landed.changed, (*landed.findings, *vetoes))
    return {
        **_head(context, task),
        "format": task.spec.format,
        **edits_of(landed.edits),
        "files": [{"path": file.path, "content": file.content} for file in landed.changed],
        "patch": landed.patch,
        "text": landed.text,
        "constraint": constraint_of(output, landed),
        **report_of(task.policy, task.spec.files, landed.findings, decoded=True, vetoes=vetoes),
        "finish_reason": output.finish,
        "usage": usage_of([task.request], [output]),
    }


async def _stream(context: ApiContext, http: HttpRequest, task: Task) -> AsyncGenerator[bytes, None]:
    output = Output()
    blocks = task.spec.format == "blocks" and not task.spec.operations
    growing = EditEvents(task.spec.files, task.spec.markers) if blocks else TextEvents()
    trace = Trace(context.served.codec)
    markers = {"markers": msgspec.structs.asdict(task.spec.markers)} if task.body.trace else {}
    yield sse.typed("edits.started", {**_head(context, task), **markers})
    refused = await declined_said(context, http, [Said(task.body.instruction, True)])
    if refused is not None:
        yield sse.typed("edits.completed", _declined(context, task, refused))
        return
    async with aclosing(context.generate(http, ENDPOINT, [task.request])) as events:
        async for _, event in events:
            output.take(event)
            traced = trace.after(event) if task.body.trace else ()
            if task.rules.blocking:
                continue  # what may be withheld in the end is not told before
            with _violations_counted(context):
                grown = growing.after(event)
            for name, payload in (*traced, *grown):
                yield sse.typed(name, payload)
    yield sse.typed("edits.completed", await _answer(context, task, output, trace))


def _said(error: DovetailError) -> bytes:
    return sse.typed("error", body_of(error))


@contextmanager
def _violations_counted(context: ApiContext) -> Iterator[None]:
    try:
        yield
    except GuaranteeViolated as error:
        context.metrics.violations.inc()
        visiting().trail.code = error.code
        raise


def _head(context: ApiContext, task: Task) -> dict[str, Any]:
    return {
        "id": task.id,
        "object": "edits",
        "created": task.created,
        "model": context.served.name,
        "system_fingerprint": context.fingerprint,
    }
