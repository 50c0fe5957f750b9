"""Makes one response: asks the engine, tells the events as they come, and keeps the outcome. Knows no transport."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial

from starlette.requests import Request as HttpRequest

from dovetail.serve.api.context import ApiContext
from dovetail.serve.api.conversation.answer import answers
from dovetail.serve.api.conversation.pieces import Finish, TextPiece
from dovetail.serve.api.responses.archive import Archive
from dovetail.serve.api.responses.events import Event, Narrator
from dovetail.serve.api.responses.history import COMPACTION, REASONING
from dovetail.serve.api.responses.turn import Turn
from dovetail.serve.api.sealed import Sealer
from dovetail.serve.errors import DovetailError, EngineError, UserError

ENDPOINT = "/v1/responses"

CUT = "\n[The summary was cut off here: it did not fit into the tokens that were left.]"
NO_SUMMARY = "The model wrote no summary within the tokens that were left; compact earlier, or allow more."


@dataclass(frozen=True)
class Responses:
    """What the endpoints of this protocol share."""

    context: ApiContext
    archive: Archive
    sealer: Sealer


class Making:
    """One response while it is made."""

    def __init__(self, shared: Responses, http: HttpRequest, turn: Turn) -> None:
        self._shared = shared
        self._http = http
        self.turn = turn
        self.narrator = Narrator(
            turn.response,
            turn.told.offered.names,
            shared.context.served.codec,
            seal=partial(shared.sealer.seal, REASONING) if turn.body.wants_encrypted else None,
            summarise=turn.body.summarise,
        )

    async def events(self) -> AsyncGenerator[list[Event], None]:
        """Every event of a response that succeeds, those of one step together; raises what goes wrong.

        The last comes after the response is kept.
        """
        yield self.narrator.begin(queued=bool(self.turn.body.background))
        told = self._compaction() if self.turn.told.compacting else self._answer()
        async with aclosing(told):
            async for events in told:
                yield events

    async def whole(self) -> Event:
        """The finished response."""
        async with aclosing(self.events()) as events:
            async for _ in events:
                pass
        return self.narrator.response

    def fail(self, error: DovetailError) -> list[Event]:
        """The events of a failure; the failed response is kept, if it can be."""
        events = self.narrator.fail(error)
        with contextlib.suppress(EngineError):
            self._put()
        return events

    async def keep(self) -> None:
        """Store the response as it stands, if it is to be stored."""
        self._put()
        await self._shared.archive.written()

    def _put(self) -> None:
        if self.turn.stored:
            self._shared.archive.keep(self.narrator.response, self.turn.told.items)

    async def _answer(self) -> AsyncGenerator[list[Event], None]:
        told = self.turn.told
        pieces = answers(self._shared.context, self._http, ENDPOINT, told.conversation, self.turn.requests)
        async with aclosing(pieces):
            async for _, new in pieces:
                events = [event for piece in new for event in self.narrator.take(piece)]
                if isinstance(new[-1], Finish):
                    await self._finished()
                yield events

    async def _compaction(self) -> AsyncGenerator[list[Event], None]:
        told = self.turn.told
        texts: list[str] = []
        pieces = answers(self._shared.context, self._http, ENDPOINT, told.conversation, self.turn.requests)
        async with aclosing(pieces):
            async for _, new in pieces:
                texts += [piece.text for piece in new if isinstance(piece, TextPiece)]
                end = new[-1]
                if isinstance(end, Finish):
                    sealed = self._shared.sealer.seal(COMPACTION, _summary("".join(texts).strip(), end))
                    events = self.narrator.compacted(sealed, end.usage, end.reasoning_tokens)
                    await self._finished()
                    yield events

    async def _finished(self) -> None:
        await self.keep()
        conversation = self.turn.body.conversation
        if conversation is not None:
            items = [*self.turn.told.items, *self.narrator.response["output"]]
            archive = self._shared.archive
            await archive.aside(archive.append, conversation, items)
            await archive.written()


def _summary(text: str, end: Finish) -> str:
    """What a compaction keeps; one that the budget cut is better than a session that cannot go on, and says so to the model."""
    if end.reason != "length":
        return text
    if not text:
        raise UserError(NO_SUMMARY, code="summary_cut_off", param="max_output_tokens")
    return text + CUT
