"""Runs the engine requests of one HTTP request side by side and gathers what they say. Knows no wire format."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import cast

from dovetail.serve.engine.base import Engine
from dovetail.serve.errors import DovetailError, EngineError, UserError
from dovetail.serve.types import (
    ConstraintReport,
    ErrorEvent,
    Event,
    FinishEvent,
    FinishReason,
    Origin,
    Request,
    RollbackEvent,
    TokenLogprob,
    TokensEvent,
    Usage,
)

Indexed = tuple[int, Event]


def run(engine: Engine, requests: Sequence[Request]) -> AsyncGenerator[Indexed, None]:
    """Events of all ``requests`` as they come, with the request's index.

    Ends when every request has finished; raises the first failure. However it ends, no request is left running.
    """
    return _events(engine, requests[0], 0) if len(requests) == 1 else _side_by_side(engine, requests)


async def _side_by_side(engine: Engine, requests: Sequence[Request]) -> AsyncGenerator[Indexed, None]:
    queue: asyncio.Queue[Indexed | asyncio.Task[None]] = asyncio.Queue()
    tasks = [asyncio.create_task(_pump(engine, index, request, queue)) for index, request in enumerate(requests)]
    for task in tasks:
        task.add_done_callback(queue.put_nowait)
    running = len(tasks)
    try:
        while running:
            item = await queue.get()
            if isinstance(item, asyncio.Task):
                running -= 1
                item.result()
            else:
                yield item
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _pump(
    engine: Engine, index: int, request: Request, queue: asyncio.Queue[Indexed | asyncio.Task[None]]
) -> None:
    async with aclosing(_events(engine, request, index)) as events:
        async for event in events:
            queue.put_nowait(event)


async def _events(engine: Engine, request: Request, index: int) -> AsyncGenerator[Indexed, None]:
    """Events of one request to its end; raises its failure. It is cancelled if nobody waits for the end."""
    ended = False
    try:
        # The protocol promises an iterator that can be closed; every backend writes it as a generator.
        async with aclosing(cast("AsyncGenerator[Event, None]", engine.generate(request))) as events:
            async for event in events:
                ended = isinstance(event, FinishEvent | ErrorEvent)
                if isinstance(event, ErrorEvent):
                    raise error_of(event)
                yield index, event
                if ended:
                    return
        raise EngineError("The engine ended the request without saying how.", status=500, code="internal_error")
    finally:
        if not ended:
            await engine.cancel(request.request_id)


def error_of(event: ErrorEvent) -> DovetailError:
    """The exception an ErrorEvent stands for."""
    kind = UserError if event.status < 500 else EngineError
    return kind(event.message, status=event.status, code=event.code, param=event.param)


@dataclass
class Output:
    """What one engine request has said so far."""

    text: str = ""
    tokens: list[int] = field(default_factory=list)
    origins: list[Origin] = field(default_factory=list)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    finish: FinishReason | None = None
    stop: str | int | None = None
    usage: Usage = field(default_factory=Usage)
    constraint: ConstraintReport | None = None
    pieces: list[str] = field(default_factory=list, repr=False)

    def take(self, event: Event) -> None:
        """Add one event."""
        if isinstance(event, TokensEvent):
            self.pieces.append(event.text)
            self.tokens.extend(event.tokens)
            self.origins.extend(event.origins)
            self.logprobs.extend(event.logprobs or ())
        elif isinstance(event, RollbackEvent):
            kept = "".join(self.pieces)[: event.keep_chars]
            self.pieces = [kept]
            del self.tokens[event.keep_tokens :]
            del self.origins[event.keep_tokens :]
            del self.logprobs[event.keep_tokens :]
        elif isinstance(event, FinishEvent):
            if event.reason == "cancelled":
                raise EngineError("The server stopped this request before it was done.", code="cancelled")
            self.text = "".join(self.pieces)
            self.finish = event.reason
            self.stop = event.stop
            self.usage = event.usage
            self.constraint = event.constraint
