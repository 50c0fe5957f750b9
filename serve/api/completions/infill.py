"""POST /infill, whole and streamed: the middle of a file, as llama.cpp's server takes it from editors' plug-ins."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Response
from fastapi import Request as HttpRequest
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse

from dovetail.serve.api.completions.lines import LineWatch
from dovetail.serve.api.context import ApiContext, fresh_id
from dovetail.serve.api.generation import Output
from dovetail.serve.api.http import sse
from dovetail.serve.api.http.body import check, read_object
from dovetail.serve.api.http.failures import sse_error, told
from dovetail.serve.api.http.fields import ignored_fields
from dovetail.serve.api.sampling import SamplingFields, sampling_params
from dovetail.serve.api.security.declined import declined_plain, told_decline
from dovetail.serve.api.served import FillInMiddle, SamplingDefaults
from dovetail.serve.errors import DovetailError, EngineError, UserError
from dovetail.serve.types import Request, RollbackEvent, TokensEvent

ENDPOINT = "/infill"
MAX_EXTRA = 1024
RESERVED = 512
"""Tokens kept free for the middle where the client sets no ``n_predict``."""


class Extra(BaseModel):
    """Another piece of the repository."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)

    text: str
    filename: str | None = None


class InfillBody(SamplingFields):
    """The body of an infill request, with llama.cpp's names; ``filename``, of the file with the gap, is our own."""

    model: str | None = None
    input_prefix: str
    input_suffix: str
    input_extra: Annotated[list[Extra], Field(max_length=MAX_EXTRA)] | None = None
    filename: str | None = None
    prompt: str | None = None
    n_predict: Annotated[int, Field(ge=-1)] | None = None
    n_indent: Annotated[int, Field(ge=0)] | None = None
    t_max_predict_ms: Annotated[int, Field(ge=0, le=86_400_000)] | None = None
    repeat_penalty: Annotated[float, Field(gt=0, le=10)] | None = None
    stream: bool | None = None

    @property
    def budget(self) -> int | None:
        """The most tokens of the middle; None: what there is room for."""
        wanted = self.n_predict if self.n_predict is not None else self.max_tokens
        return None if wanted is None or wanted < 0 else wanted

    @property
    def ours(self) -> InfillBody:
        """With our names for what llama.cpp calls otherwise: a seed of -1 is none."""
        penalty = self.repetition_penalty if self.repeat_penalty is None else self.repeat_penalty
        return self.model_copy(update={"repetition_penalty": penalty, "seed": None if self.seed == -1 else self.seed})


@dataclass
class Filling:
    """One checked request, and what came of it so far."""

    body: InfillBody
    request: Request
    truncated: bool
    ignored: tuple[str, ...]
    output: Output = field(default_factory=Output)
    began: float = field(default_factory=time.perf_counter)
    first: float | None = None


def routes(context: ApiContext) -> APIRouter:
    """The infill endpoint."""
    router = APIRouter()

    @router.post(ENDPOINT)
    async def infill(http: HttpRequest) -> Response:
        body = check(InfillBody, await read_object(http, context.settings.max_body_bytes))
        filling = await _filling(context, body)
        headers = context.ignored_header(http, filling.ignored)
        if body.stream:
            return sse.EventStream(
                told(_stream(context, http, filling), partial(_failure, context, filling)),
                keepalive_seconds=context.settings.keepalive_seconds,
                headers=headers,
            )
        return JSONResponse(await sse.unless_gone(http, _whole(context, http, filling)), headers=headers)

    return router


async def _filling(context: ApiContext, body: InfillBody) -> Filling:
    context.require_model(body.model)
    ignored = ignored_fields(body)
    fim = context.served.fim
    if fim is None:
        name = context.served.name
        raise UserError(f"{name} has no tokens for filling in the middle.", code="unsupported_model", param="model")
    context.admit(1)
    prompt, truncated = await asyncio.to_thread(_prompt, fim, body, context.served.max_model_len)
    room = context.room(len(prompt), "input_prefix")
    # A budget of nothing warms the prefix cache: one token is made, and not told.
    wanted = room if body.budget is None else max(1, body.budget)
    sampling = sampling_params(
        body.ours,
        context.served,
        max_tokens=min(wanted, room),
        defaults=SamplingDefaults(temperature=0.0),
        stop_ids=fim.stop_ids,
    )
    request = Request(request_id=fresh_id("infill"), prompt=tuple(prompt), sampling=sampling, **body.scheduling())
    (request,) = context.reserve([request])
    return Filling(body, request, truncated, tuple(ignored))


def _prompt(fim: FillInMiddle, body: InfillBody, window: int) -> tuple[list[int], bool]:
    reserved = min(max(1, RESERVED if body.budget is None else body.budget), window // 2)
    files = [
        (extra.filename or f"snippet {number}", extra.text) for number, extra in enumerate(body.input_extra or (), 1)
    ]
    prefix = body.input_prefix + (body.prompt or "")
    return fim.prompt(prefix, body.input_suffix, files, body.filename or "", limit=window - reserved)


async def _texts(context: ApiContext, http: HttpRequest, filling: Filling) -> AsyncGenerator[str, None]:
    """The middle as it comes, ended where the client's rules for lines end it."""
    body, output = filling.body, filling.output
    watch = LineWatch(body.n_indent or 0, (body.t_max_predict_ms or 0) / 1000)
    async with aclosing(context.generate(http, ENDPOINT, (filling.request,))) as events:
        async for _, event in events:
            if isinstance(event, RollbackEvent):
                raise EngineError("The engine took back text that was already sent.", status=500)
            output.take(event)
            if isinstance(event, TokensEvent):
                filling.first = filling.first or time.perf_counter()
                text = watch.take(event.text)
                if text and body.budget != 0:
                    yield text
                if watch.ended:
                    output.finish = "length"
                    return
    if body.budget != 0 and (rest := watch.finish()):
        yield rest


async def _declined(context: ApiContext, http: HttpRequest, filling: Filling) -> dict[str, Any] | None:
    """The answer to a request that is declined; None: it is answered."""
    body = filling.body
    found = await declined_plain(context, http, [body.input_prefix + (body.prompt or ""), body.input_suffix])
    if found is None:
        return None
    return {**_unfinished(context, filling), "refusal": found.message, "security": told_decline(found)}


def _failure(context: ApiContext, filling: Filling, error: DovetailError) -> bytes:
    """The error, and then the event that ends every stream."""
    return sse_error(error) + sse.data(_unfinished(context, filling))


def _unfinished(context: ApiContext, filling: Filling) -> dict[str, Any]:
    return {**_last(context, filling, ""), "stop_type": "none"}


async def _whole(context: ApiContext, http: HttpRequest, filling: Filling) -> dict[str, Any]:
    if declined := await _declined(context, http, filling):
        return declined
    async with aclosing(_texts(context, http, filling)) as texts:
        content = "".join([text async for text in texts])
    return _last(context, filling, content)


async def _stream(context: ApiContext, http: HttpRequest, filling: Filling) -> AsyncGenerator[bytes, None]:
    if declined := await _declined(context, http, filling):
        yield sse.data(declined)
        return
    async with aclosing(_texts(context, http, filling)) as texts:
        async for text in texts:
            yield sse.data({"index": 0, "content": text, "stop": False, **_counts(filling)})
    yield sse.data(_last(context, filling, ""))


def _counts(filling: Filling) -> dict[str, int]:
    return {"tokens_predicted": len(filling.output.tokens), "tokens_evaluated": len(filling.request.prompt)}


def _last(context: ApiContext, filling: Filling, content: str) -> dict[str, Any]:
    output, sampling = filling.output, filling.request.sampling
    word = output.stop if isinstance(output.stop, str) else ""
    return {
        "index": 0,
        "content": content,
        "stop": True,
        "model": context.served.name,
        **_counts(filling),
        "tokens_cached": len(filling.request.prompt) + len(output.tokens),
        "truncated": filling.truncated,
        "stop_type": "limit" if output.finish == "length" else "word" if word else "eos",
        "stopping_word": word,
        "generation_settings": {
            "n_ctx": context.served.max_model_len,
            "n_predict": sampling.max_tokens,
            "temperature": sampling.temperature,
        },
        "timings": _timings(filling),
    }


def _timings(filling: Filling) -> dict[str, float]:
    now = time.perf_counter()
    first = filling.first or now
    evaluated = len(filling.request.prompt) - filling.output.usage.cached_tokens
    timings: dict[str, float] = {"cache_n": filling.output.usage.cached_tokens}
    for name, count, seconds in (
        ("prompt", evaluated, first - filling.began),
        ("predicted", len(filling.output.tokens), now - first),
    ):
        timings[f"{name}_n"] = count
        timings[f"{name}_ms"] = round(seconds * 1000, 3)
        timings[f"{name}_per_token_ms"] = round(seconds * 1000 / count, 3) if count else 0.0
        timings[f"{name}_per_second"] = round(count / seconds, 3) if seconds else 0.0
    return timings
