"""POST /v1/completions, whole and streamed: continuation of text or token ids, or the middle of a text (``suffix``)."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, NoReturn

from fastapi import APIRouter, Response
from fastapi import Request as HttpRequest
from pydantic import Field
from starlette.responses import JSONResponse

from dovetail.serve.api.context import ApiContext, fresh_id
from dovetail.serve.api.generation import Output
from dovetail.serve.api.http import sse
from dovetail.serve.api.http.body import check, read_object
from dovetail.serve.api.http.failures import FAILED, sse_error, told
from dovetail.serve.api.http.fields import ignored_fields, not_available
from dovetail.serve.api.logprobs import completion_logprobs, text_length
from dovetail.serve.api.sampling import MAX_CHOICES, MAX_TOP_LOGPROBS, ManyFields, sampling_params
from dovetail.serve.api.security.declined import declined_plain, told_decline
from dovetail.serve.api.security.fields import SecurityField, rules_for
from dovetail.serve.api.security.notes import note_found
from dovetail.serve.api.security.plain import PlainWatch, code_language
from dovetail.serve.api.served import ServedModel
from dovetail.serve.api.structured import StructuredFields
from dovetail.serve.api.usage import usage_of
from dovetail.serve.errors import DovetailError, EngineError, UserError
from dovetail.serve.govern.findings.rules import RuleSet
from dovetail.serve.types import FinishEvent, Request, RollbackEvent, TokensEvent

ENDPOINT = "/v1/completions"
DEFAULT_MAX_TOKENS = 16
"""What OpenAI's endpoint does when max_tokens is left out."""


class CompletionBody(ManyFields, StructuredFields):
    """The body of a completion request; the prompt's four forms are told apart in ``prompts_of``."""

    prompt: Any
    suffix: str | None = None
    echo: bool | None = None
    logprobs: Annotated[int, Field(ge=0, le=MAX_TOP_LOGPROBS)] | None = None
    best_of: Annotated[int, Field(ge=1, le=MAX_CHOICES)] | None = None
    security: SecurityField | None = None


@dataclass(frozen=True)
class Job:
    """One checked completion request: ``tries`` engine requests per prompt. ``echoes``: what is said again of each prompt."""

    id: str
    created: int
    body: CompletionBody
    requests: tuple[Request, ...]
    tries: int
    echoes: tuple[str, ...]
    ignored: tuple[str, ...]
    rules: RuleSet

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
            unended = set(range(len(job.requests)))
            return sse.EventStream(
                told(_stream(context, http, job, unended), partial(_failure, context, job, unended), sse.DONE),
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
    rules = rules_for(context.settings.policy, body.security)
    code_language(body.security)
    ignored = ignored_fields(body)
    tries = _tries(body)
    if body.echo and body.logprobs is not None:
        raise not_available("echo", " (together with logprobs: a prompt's own are not computed)")
    wire = prompts_of(body.prompt, context.served.codec.size)
    if len(wire) * tries > context.settings.max_choices:
        raise not_available("n", f" (prompts times n or best_of may be at most {context.settings.max_choices})")
    context.admit(len(wire) * tries)
    constraint, left_out = await context.grammars.wanted(body)
    ignored += left_out
    job_id = fresh_id("cmpl")
    requests: list[Request] = []
    echoes: list[str] = []
    for number, item in enumerate(wire):
        path = "prompt" if len(wire) == 1 else f"prompt[{number}]"
        ids, ends = await asyncio.to_thread(_prompt_ids, context.served, item, body.suffix)
        if not ids:
            _refuse(path, "is empty")
        room = context.room(len(ids), path, len(wire) * tries)
        prompt = tuple(ids)
        echoes.append((item if isinstance(item, str) else context.served.codec.decode(item)) if body.echo else "")
        for index in range(tries):
            sampling = sampling_params(
                body,
                context.served,
                max_tokens=min(body.max_tokens or DEFAULT_MAX_TOKENS, room),
                index=index,
                logprobs=body.logprobs if tries == (body.n or 1) else body.logprobs or 0,
                stop_ids=ends,
            )
            requests.append(
                Request(
                    request_id=f"{job_id}-{len(requests)}",
                    prompt=prompt,
                    sampling=sampling,
                    constraint=constraint,
                    **body.scheduling(),
                )
            )
    return Job(job_id, int(time.time()), body, context.reserve(requests), tries, tuple(echoes), tuple(ignored), rules)


def _tries(body: CompletionBody) -> int:
    """Engine requests per prompt."""
    answers = body.n or 1
    tries = body.best_of or answers
    if tries < answers:
        _refuse("best_of", f"must be at least n ({answers})")
    if tries > answers and body.stream:
        raise not_available("best_of", " (a stream cannot wait for the best; it must equal n)")
    return tries


def _prompt_ids(served: ServedModel, prompt: str | list[int], suffix: str | None) -> tuple[list[int], tuple[int, ...]]:
    """Token ids, and what ends the output beside the usual. An empty suffix is none."""
    if suffix:
        if served.fim is None:
            raise not_available("suffix", f" ({served.name} has no tokens for filling in the middle)")
        return served.fim.prompt(prompt, suffix)[0], served.fim.stop_ids
    return served.codec.encode_prompt(prompt) if isinstance(prompt, str) else prompt, ()


def _best(outputs: Sequence[Output], tries: int, answers: int) -> list[Output]:
    """Of the ``tries`` outputs of each prompt the ``answers`` most likely ones by their mean log probability, best first."""
    best: list[Output] = []
    for first in range(0, len(outputs), tries):
        group = outputs[first : first + tries]
        best += group if tries == answers else sorted(group, key=_likelihood, reverse=True)[:answers]
    return best


def _likelihood(output: Output) -> float:
    """What says nothing at all comes last."""
    return sum(entry.logprob for entry in output.logprobs) / len(output.logprobs) if output.logprobs else -math.inf


async def _declined(context: ApiContext, http: HttpRequest, job: Job) -> list[dict[str, Any]]:
    """The choices of a request that is declined; none: it is answered."""
    prompts = [context.served.codec.decode(request.prompt) for request in job.requests[:: job.tries]]
    found = await declined_plain(context, http, prompts)
    if found is None:
        return []
    more = {"refusal": found.message, "security": told_decline(found)}
    return [_choice(index, "", None, "content_filter") | more for index in range(len(prompts) * job.answers)]


def _unasked(job: Job) -> dict[str, Any]:
    """The usage of a request that the engine was not asked."""
    return usage_of(job.requests, [Output() for _ in job.requests], job.tries)


async def _whole(context: ApiContext, http: HttpRequest, job: Job) -> dict[str, Any]:
    if declined := await _declined(context, http, job):
        return {**_head(context, job), "choices": declined, "usage": _unasked(job)}
    outputs = [Output() for _ in job.requests]
    async with aclosing(context.generate(http, ENDPOINT, job.requests)) as events:
        async for index, event in events:
            outputs[index].take(event)
    choices = []
    for index, output in enumerate(_best(outputs, job.tries, job.answers)):
        watch = _watch(context, job, index)
        text = await watch.whole(output.text)
        note_found(context.metrics, watch.found)
        entries = None if watch.blocked else output.logprobs
        logprobs = (
            None if job.body.logprobs is None or entries is None else completion_logprobs(context.served.codec, entries)
        )
        finish = "content_filter" if watch.blocked else output.finish
        choices.append(_choice(index, job.echoes[index // job.answers] + text, logprobs, finish) | watch.told())
    usage = usage_of(job.requests, outputs, job.tries)
    return {**_head(context, job), "choices": choices, "usage": usage}


def _watch(context: ApiContext, job: Job, index: int) -> PlainWatch:
    prompt = context.served.codec.decode(job.requests[index * job.tries // job.answers].prompt) if job.rules else ""
    return PlainWatch(job.rules, prompt, job.body.security)


def _failure(context: ApiContext, job: Job, unended: set[int], error: DovetailError) -> bytes:
    ends = [_choice(index, "", None, FAILED) for index in sorted(unended)]
    return sse_error(error) + sse.Chunks(_chunk_head(context, job)).told(ends)


async def _stream(context: ApiContext, http: HttpRequest, job: Job, unended: set[int]) -> AsyncGenerator[bytes, None]:
    """``unended``: the choices whose last chunk has not been told."""
    head = _chunk_head(context, job)
    outputs = [Output() for _ in job.requests]
    offsets = [0] * len(outputs)
    watches = [_watch(context, job, index) for index in range(len(outputs))]
    codec = context.served.codec
    chunks = sse.Chunks(head)
    if declined := await _declined(context, http, job):
        yield chunks.told(declined)
        unended.clear()
        if job.body.include_usage:
            yield sse.data({**head, "choices": [], "usage": _unasked(job)})
        return
    for index in range(len(outputs)):
        if echo := job.echoes[index // job.answers]:
            yield chunks.told([_choice(index, echo)])
    async with aclosing(context.generate(http, ENDPOINT, job.requests)) as events:
        async for index, event in events:
            if index not in unended:
                continue
            outputs[index].take(event)
            watch = watches[index]
            if isinstance(event, TokensEvent):
                entries = event.logprobs or ()
                logprobs = completion_logprobs(codec, entries, offsets[index]) if entries else None
                offsets[index] += sum(text_length(codec, entry) for entry in entries)
                text = await watch.feed(event.text)
                if text or (logprobs and not job.rules.blocking):
                    yield chunks.told([_choice(index, text, logprobs)])
            elif isinstance(event, FinishEvent) and (rest := await watch.finish()):
                yield chunks.told([_choice(index, rest)])
            if watch.blocked or isinstance(event, FinishEvent):
                note_found(context.metrics, watch.found)
                finish = "content_filter" if watch.blocked else outputs[index].finish
                yield chunks.told([_choice(index, "", None, finish) | watch.told()])
                unended.discard(index)
                if not unended:
                    break
            elif isinstance(event, RollbackEvent):
                raise EngineError("The engine took back text that was already sent.", status=500)
    if job.body.include_usage:
        yield sse.data({**head, "choices": [], "usage": usage_of(job.requests, outputs, job.answers)})


def _choice(index: int, text: str, logprobs: dict[str, Any] | None = None, finish: str | None = None) -> dict[str, Any]:
    return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": finish}


def _chunk_head(context: ApiContext, job: Job) -> dict[str, Any]:
    return _head(context, job) | ({"usage": None} if job.body.include_usage else {})


def _head(context: ApiContext, job: Job) -> dict[str, Any]:
    return {
        "id": job.id,
        "object": "text_completion",
        "created": job.created,
        "model": context.served.name,
        "system_fingerprint": context.fingerprint,
    }
