"""POST /v1/embeddings: texts or token ids in, one vector for each out; refused by name where the model is not for it."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from contextlib import aclosing
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Response
from fastapi import Request as HttpRequest
from pydantic import Field
from starlette.responses import JSONResponse

from dovetail.serve.api.context import ApiContext, fresh_id
from dovetail.serve.api.http import sse
from dovetail.serve.api.http.body import check, read_object
from dovetail.serve.api.http.fields import ignored_fields
from dovetail.serve.api.http.wire import refuse
from dovetail.serve.api.sampling import Scheduled
from dovetail.serve.api.served import Embedding
from dovetail.serve.errors import ContextOverflow, UserError
from dovetail.serve.types import FinishEvent, Request, SamplingParams

ENDPOINT = "/v1/embeddings"
MOST_INPUTS = 2048
"""Texts of one request, as OpenAI has it."""

Vector = np.ndarray[tuple[int], np.dtype[np.float32]]
TokenId = Annotated[int, Field(ge=0)]


class EmbeddingsBody(Scheduled):
    """The body: fields of the OpenAI API and our extensions."""

    model: str | None = None
    input: str | list[str] | list[TokenId] | list[list[TokenId]]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: int | None = Field(default=None, ge=1)


def routes(context: ApiContext) -> APIRouter:
    """The endpoint."""
    router = APIRouter()

    @router.post(ENDPOINT)
    async def embeddings(http: HttpRequest) -> Response:
        wire = await read_object(http, context.settings.max_body_bytes)
        name = wire.get("model")
        context.require_model(name if isinstance(name, str) else None)
        embedding = context.served.embedding
        if embedding is None:
            raise UserError(
                f"{context.served.name} makes no embeddings: it is a model that writes text.",
                code="unsupported_model",
                param="model",
            )
        body = check(EmbeddingsBody, wire)
        ignored = ignored_fields(body)
        if body.dimensions is not None and body.dimensions > embedding.size:
            refuse("dimensions", f"must be at most {embedding.size}, the length of this model's vectors")
        requests = await _requests(context, embedding, body)
        vectors = await sse.unless_gone(http, _vectors(context, http, requests))
        data = [
            {"object": "embedding", "index": index, "embedding": _told(_shaped(vector, embedding, body), body)}
            for index, vector in enumerate(vectors)
        ]
        tokens = sum(len(request.prompt) for request in requests)
        answer = {
            "object": "list",
            "model": context.served.name,
            "data": data,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }
        return JSONResponse(answer, headers=context.ignored_header(http, ignored))

    return router


async def _requests(context: ApiContext, embedding: Embedding, body: EmbeddingsBody) -> tuple[Request, ...]:
    inputs = _inputs(body.input)
    context.admit(len(inputs))
    limit, size = context.served.max_model_len, context.served.codec.size
    prompts = []
    for index, each in enumerate(inputs):
        where = f"input[{index}]" if isinstance(body.input, list) and len(inputs) > 1 else "input"
        ids = await asyncio.to_thread(embedding.encode, each) if isinstance(each, str) else list(each)
        if not each or not ids:
            refuse(where, "must not be empty")
        if max(ids) >= size:
            refuse(where, f"must hold token ids of this model (0 to {size - 1})")
        if len(ids) > limit:
            raise ContextOverflow(len(ids), limit, where)
        prompts.append(tuple(ids))
    batch = fresh_id("embd")
    requests = [
        Request(
            request_id=f"{batch}-{index}",
            prompt=prompt,
            sampling=SamplingParams(max_tokens=0),
            pooling=embedding.pooling,
            **body.scheduling(),
        )
        for index, prompt in enumerate(prompts)
    ]
    return context.reserve(requests)


def _inputs(given: str | list[str] | list[int] | list[list[int]]) -> Sequence[str | list[int]]:
    """One text or list of token ids for each vector that is wanted."""
    if isinstance(given, str):
        return [given]
    if not given:
        refuse("input", "must not be empty")
    if len(given) > MOST_INPUTS and not isinstance(given[0], int):
        refuse("input", f"may hold at most {MOST_INPUTS} texts")
    many: list[str | list[int]] = [each for each in given if not isinstance(each, int)]
    return many or [[each for each in given if isinstance(each, int)]]


async def _vectors(context: ApiContext, http: HttpRequest, requests: Sequence[Request]) -> list[Vector]:
    found: dict[int, Vector] = {}
    async with aclosing(context.generate(http, ENDPOINT, requests)) as events:
        async for index, event in events:
            if isinstance(event, FinishEvent):
                found[index] = np.frombuffer(event.vector, "<f4")
    return [found[index] for index in range(len(requests))]


def _shaped(vector: Vector, embedding: Embedding, body: EmbeddingsBody) -> Vector:
    """The first ``dimensions`` numbers, at length 1 where the model's vectors are."""
    cut = vector[: body.dimensions]
    length = float(np.linalg.norm(cut.astype(np.float64)))
    return (cut / np.float32(length)) if embedding.normalize and length > 0 else cut


def _told(vector: Vector, body: EmbeddingsBody) -> Any:
    if body.encoding_format == "base64":
        return base64.b64encode(vector.astype("<f4").tobytes()).decode()
    return vector.tolist()
