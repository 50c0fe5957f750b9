"""The events of one request on their way from the socket to whoever awaits them. Knows no socket and no message."""

from __future__ import annotations

import asyncio

from dovetail.serve.types import Event, TokensEvent


class Mailbox:
    """One reader takes what one writer puts, all of it at a time; lighter than asyncio.Queue, as it is woken for every token."""

    __slots__ = ("_events", "_reader")

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._reader: asyncio.Future[None] | None = None

    def put(self, event: Event) -> None:
        """Leave an event, and wake the reader."""
        self._events.append(event)
        reader = self._reader
        if reader is not None:
            self._reader = None
            if not reader.done():  # it may have been cancelled
                reader.set_result(None)

    async def take(self) -> list[Event]:
        """What has come, at least one event; tokens that wait in a row are told as one event, however many steps they took."""
        while not self._events:
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        events, self._events = self._events, []
        return events if len(events) == 1 else _joined(events)


def _joined(events: list[Event]) -> list[Event]:
    joined = events[:1]
    for event in events[1:]:
        last = joined[-1]
        if isinstance(event, TokensEvent) and isinstance(last, TokensEvent):
            joined[-1] = TokensEvent(
                request_id=last.request_id,
                tokens=last.tokens + event.tokens,
                text=last.text + event.text,
                origins=last.origins + event.origins,
                logprobs=None if event.logprobs is None else (last.logprobs or ()) + event.logprobs,
            )
        else:
            joined.append(event)
    return joined
