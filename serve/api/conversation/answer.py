"""Reads engine events into the pieces of an answer: text, reasoning, tool calls, the end. Knows no wire format."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import replace

from starlette.requests import Request as HttpRequest

from dovetail.serve.api.access.visit import visiting
from dovetail.serve.api.context import ApiContext
from dovetail.serve.api.conversation.call_notes import CallNotes
from dovetail.serve.api.conversation.carriers import CallCounter
from dovetail.serve.api.conversation.conversation import Conversation
from dovetail.serve.api.conversation.pieces import (
    CallArguments,
    CallEnd,
    CallStart,
    Finish,
    LogprobsPiece,
    Piece,
    ReasoningPiece,
    RefusalPiece,
    TextPiece,
)
from dovetail.serve.api.conversation.ruled import CallJudge
from dovetail.serve.api.security.declined import declined, told_decline
from dovetail.serve.api.security.fields import rules_for
from dovetail.serve.api.security.notes import note_found
from dovetail.serve.api.security.watch import AnswerWatch, Shown
from dovetail.serve.api.served import DialectPiece, DialectReader
from dovetail.serve.errors import EngineError
from dovetail.serve.govern.declines.judge import Decline
from dovetail.serve.types import ErrorEvent, Event, FinishEvent, Request, TokensEvent, Usage


class AnswerReader:
    """One answer in progress: engine events in, pieces out.

    Args:
        conversation: what is answered; its callable tools are the ones whose calls are read.
        reader: the model's dialect; None: everything the model says is text.
    """

    def __init__(self, conversation: Conversation, reader: DialectReader | None) -> None:
        self._kinds = {tool.name: tool.kind for tool in conversation.callable_tools}
        self._reader = reader
        self._calls = 0
        self._open = False
        self._thinking = False
        self._reasoning_tokens = 0

    def take(self, event: Event) -> list[Piece]:
        """The pieces that one event adds."""
        if isinstance(event, TokensEvent):
            pieces: list[Piece] = [LogprobsPiece(event.logprobs)] if event.logprobs else []
            pieces += self._read(event.text)
            self._reasoning_tokens += len(event.tokens) if self._thinking else 0
            return pieces
        if isinstance(event, FinishEvent):
            return self._end(event)
        if isinstance(event, ErrorEvent):
            raise EngineError(event.message, status=event.status, code=event.code)
        raise EngineError("The engine took back text that was already sent.", status=500, code="internal_error")

    def _end(self, event: FinishEvent) -> list[Piece]:
        if event.reason == "cancelled":
            raise EngineError("The server stopped this request before it was done.", code="cancelled")
        pieces = self._named(self._reader.finish()) if self._reader is not None else []
        if self._open:
            pieces.append(CallEnd(self._calls - 1))
            self._open = False
        reason = "tool_calls" if self._calls and event.reason == "stop" else event.reason
        reasoning = min(self._reasoning_tokens, event.usage.completion_tokens)
        return [*pieces, Finish(reason, event.usage, event.stop, reasoning, event.constraint)]

    def _read(self, text: str) -> list[Piece]:
        if self._reader is None:
            return [TextPiece(text)] if text else []
        return self._named(self._reader.feed(text))

    def _named(self, pieces: Iterable[DialectPiece]) -> list[Piece]:
        named: list[Piece] = []
        for piece in pieces:
            self._thinking = piece.kind == "reasoning"
            if piece.kind == "text":
                named.append(TextPiece(piece.text))
            elif piece.kind == "reasoning":
                named.append(ReasoningPiece(piece.text))
            elif piece.kind == "call":
                kind = self._kinds.get(piece.text, "function")
                named.append(CallStart(self._calls, f"call_{uuid.uuid4().hex[:24]}", piece.text, kind))
                self._calls += 1
                self._open = True
            elif piece.kind == "arguments":
                named.append(CallArguments(self._calls - 1, piece.text))
            else:
                named.append(CallEnd(self._calls - 1))
                self._open = False
        return named


def refusal_pieces(refused: Decline, request: Request) -> list[Piece]:
    """The whole answer to ``request`` where its conversation is declined."""
    usage = Usage(prompt_tokens=len(request.prompt))
    return [RefusalPiece(refused.message), Finish("content_filter", usage, security=told_decline(refused))]


async def answers(
    context: ApiContext, http: HttpRequest, endpoint: str, conversation: Conversation, requests: Sequence[Request]
) -> AsyncGenerator[tuple[int, list[Piece]], None]:
    """Pieces of ``requests``, which all answer ``conversation``, as they come, with the request's index.

    Those of one step come together, to be told together. A conversation that is declined is refused without asking the engine.
    """
    refused = await declined(context, http, conversation)
    if refused is not None:
        for index, request in enumerate(requests):
            yield index, refusal_pieces(refused, request)
        return
    dialect = context.served.dialect
    tools = conversation.callable_tools
    readers = [
        AnswerReader(conversation, dialect.reader(tools, request.prompt) if dialect is not None else None)
        for request in requests
    ]
    calls = [CallNotes(visiting().trail) for _ in requests]
    counters = [CallCounter(conversation, request.constraint, context.metrics.carried_calls) for request in requests]
    rules, shown = rules_for(context.settings.policy, conversation.security), Shown(conversation)
    watches = [AnswerWatch(rules, shown, conversation.security, len(request.prompt)) for request in requests]
    ended: set[int] = set()
    policy = context.settings.policy
    judges = [CallJudge(conversation, policy) for _ in requests] if policy is not None else []
    async with aclosing(context.generate(http, endpoint, requests)) as events:
        async for index, event in events:
            if index in ended:
                continue
            pieces = readers[index].take(event)
            if rules or not isinstance(event, TokensEvent):
                watches[index].tokens += len(event.tokens) if isinstance(event, TokensEvent) else 0
                if watches[index].may_scan(pieces):
                    pieces = await asyncio.to_thread(watches[index].take, pieces)
                else:
                    pieces = watches[index].take(pieces)
            for piece in pieces:
                if isinstance(piece, TextPiece) and not counters[index].reads_text:
                    continue  # of the others, too, nobody looks at text
                counters[index].take(piece)
                calls[index].take(piece)
                if judges:
                    judges[index].take(piece)
            if judges and pieces and isinstance(pieces[-1], Finish) and judges[index].has_edits:
                report = await asyncio.to_thread(judges[index].report, pieces[-1])
                pieces[-1] = replace(pieces[-1], dovetail=report)
            if pieces:
                yield index, pieces
            if pieces and isinstance(pieces[-1], Finish):
                note_found(context.metrics, watches[index].found, shown.suspicions if not ended else ())
                ended.add(index)
                if len(ended) == len(requests):
                    return
