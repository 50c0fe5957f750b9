"""POST /v1/chat/completions, whole and streamed. Knows chat wire objects; the conversation's template is the model's."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any

from fastapi import APIRouter, Response
from fastapi import Request as HttpRequest
from starlette.responses import JSONResponse

from dovetail.serve.api.chat.answer import Choice, failed_choice
from dovetail.serve.api.chat.body import ChatBody
from dovetail.serve.api.chat.edits import edit_answers, edit_requests, ignored_with_edits
from dovetail.serve.api.chat.messages import check_prediction
from dovetail.serve.api.chat.stored import StoredCompletions
from dovetail.serve.api.context import ApiContext, fresh_id
from dovetail.serve.api.conversation.answer import answers
from dovetail.serve.api.conversation.asking import engine_requests
from dovetail.serve.api.conversation.conversation import Conversation
from dovetail.serve.api.conversation.pieces import Piece
from dovetail.serve.api.edits.asking import Held
from dovetail.serve.api.http import sse
from dovetail.serve.api.http.body import check, read_object
from dovetail.serve.api.http.failures import sse_error, told
from dovetail.serve.api.http.fields import not_available
from dovetail.serve.api.records import Records
from dovetail.serve.api.usage import usage_of
from dovetail.serve.errors import DovetailError
from dovetail.serve.types import Request

ENDPOINT = "/v1/chat/completions"


@dataclass(frozen=True)
class Turn:
    """One checked chat request. ``held``: what its answers are held to, if they are edits."""

    id: str
    created: int
    body: ChatBody
    conversation: Conversation
    requests: tuple[Request, ...]
    ignored: tuple[str, ...]
    held: Held | None = None


class Chat:
    """The chat endpoint: takes requests, tells answers, keeps those that are to be kept."""

    def __init__(self, context: ApiContext, records: Records) -> None:
        self._context = context
        self._stored = StoredCompletions(records)

    def routes(self) -> APIRouter:
        """The endpoint, and those of its stored answers."""
        router = APIRouter()

        @router.post(ENDPOINT)
        async def chat_completions(http: HttpRequest) -> Response:
            body = check(ChatBody, await read_object(http, self._context.settings.max_body_bytes))
            turn = await self._turn(body)
            headers = self._context.ignored_header(http, turn.ignored)
            if body.stream:
                unended = set(range(len(turn.requests)))
                return sse.EventStream(
                    told(self._stream(http, turn, unended), partial(self._failure, turn, unended), sse.DONE),
                    keepalive_seconds=self._context.settings.keepalive_seconds,
                    headers=headers,
                )
            return JSONResponse(await sse.unless_gone(http, self._whole(http, turn)), headers=headers)

        router.include_router(self._stored.routes(ENDPOINT, self._context.settings.max_body_bytes))
        return router

    async def _turn(self, body: ChatBody) -> Turn:
        context = self._context
        context.require_model(body.model)
        ignored = body.ignored()
        offered = body.offered()
        ignored += offered.ignored
        conversation = body.conversation(offered)
        choices = body.n or 1
        if choices > context.settings.max_choices:
            raise not_available("n", f" (at most {context.settings.max_choices})")
        turn_id, created = fresh_id("chatcmpl"), int(time.time())
        if body.edits is not None:
            check_prediction(body.prediction)
            held, requests = await edit_requests(context, body, body.edits, conversation, turn_id, choices)
            ignored += ignored_with_edits(body)
            return Turn(turn_id, created, body, conversation, requests, tuple(ignored), held)
        requests = await self._requests(body, conversation, turn_id, choices, ignored)
        return Turn(turn_id, created, body, conversation, requests, tuple(ignored))

    async def _requests(
        self, body: ChatBody, conversation: Conversation, turn_id: str, choices: int, ignored: list[str]
    ) -> tuple[Request, ...]:
        """The engine's requests of a turn; what of the body changes nothing is added to ``ignored``."""
        context = self._context
        dialect = context.served.dialect
        if body.reasoning_effort is not None and (dialect is None or not dialect.reasons):
            ignored.append("reasoning_effort")
        predicted = check_prediction(body.prediction)
        if predicted and not context.served.predicts:
            predicted = ""
            ignored.append("prediction")
        answer, left_out = await context.grammars.wanted(body)
        ignored += left_out
        return await engine_requests(
            context,
            conversation,
            body,
            turn_id,
            max_tokens=body.budget,
            choices=choices,
            logprobs=(body.top_logprobs or 0) if body.logprobs else None,
            prediction=predicted,
            answer=answer,
        )

    def _pieces(self, http: HttpRequest, turn: Turn) -> AsyncGenerator[tuple[int, list[Piece]], None]:
        if turn.held is not None:
            return edit_answers(self._context, http, ENDPOINT, turn.conversation, turn.requests, turn.held)
        return answers(self._context, http, ENDPOINT, turn.conversation, turn.requests)

    async def _whole(self, http: HttpRequest, turn: Turn) -> dict[str, Any]:
        choices = self._choices(turn)
        async with aclosing(self._pieces(http, turn)) as pieces:
            async for index, new in pieces:
                for piece in new:
                    choices[index].take(piece)
        return await self._completion(turn, choices)

    async def _stream(self, http: HttpRequest, turn: Turn, unended: set[int]) -> AsyncGenerator[bytes, None]:
        """``unended``: the choices whose last chunk has not been told."""
        choices = self._choices(turn)
        head = self._chunk_head(turn)
        chunks = sse.Chunks(head)
        usage: dict[str, Any] = {}
        yield chunks.told([choice.opening() for choice in choices])
        async with aclosing(self._pieces(http, turn)) as pieces:
            async for index, new in pieces:
                told_now = [chunk for piece in new for chunk in choices[index].take(piece)]
                if all(choice.finished for choice in choices):
                    # Kept before the last chunk is told: some clients leave with it.
                    usage = (await self._completion(turn, choices))["usage"]
                if told_now:
                    yield chunks.told(told_now)
                if choices[index].finished:
                    unended.discard(index)
        if turn.body.include_usage:
            yield sse.data({**head, "choices": [], "usage": usage})

    def _failure(self, turn: Turn, unended: set[int], error: DovetailError) -> bytes:
        """The error, and then an end for each choice that has none: some clients wait for a finish_reason for ever."""
        ends = [failed_choice(index) for index in sorted(unended)]
        return sse_error(error) + sse.Chunks(self._chunk_head(turn)).told(ends)

    def _chunk_head(self, turn: Turn) -> dict[str, Any]:
        return self._head(turn, "chat.completion.chunk") | ({"usage": None} if turn.body.include_usage else {})

    def _choices(self, turn: Turn) -> list[Choice]:
        codec = self._context.served.codec if turn.body.logprobs else None
        return [Choice(index, codec, legacy=turn.body.legacy) for index in range(len(turn.requests))]

    async def _completion(self, turn: Turn, choices: Sequence[Choice]) -> dict[str, Any]:
        """The finished answer, which is kept if it is to be."""
        reasoning = sum(choice.reasoning_tokens for choice in choices)
        completion = {
            **self._head(turn, "chat.completion"),
            "choices": [choice.whole() for choice in choices],
            "usage": usage_of(turn.requests, choices, len(choices), reasoning),
        }
        if turn.body.store:
            completion["metadata"] = turn.body.metadata or {}
            await self._stored.keep(completion, turn.body.messages)
        return completion

    def _head(self, turn: Turn, kind: str) -> dict[str, Any]:
        tier = {"service_tier": "default"} if turn.body.service_tier is not None else {}
        return {
            "id": turn.id,
            "object": kind,
            "created": turn.created,
            "model": self._context.served.name,
            "system_fingerprint": self._context.fingerprint,
            **tier,
        }
