"""A synchronous engine behind the Engine protocol, in this process: for tests, benchmarks and one-shot commands."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from dovetail.serve.engine.process.worker import Core
from dovetail.serve.types import ErrorEvent, Event, FinishEvent, ModelInfo, Request, Stats


class InlineEngine:
    """Steps ``core`` in a thread while there is work; everything else happens on the event loop."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._queues: dict[str, asyncio.Queue[Event]] = {}
        self._stepping: asyncio.Task[None] | None = None
        self._between_steps = asyncio.Lock()
        self._closing = False

    @property
    def ready(self) -> bool:
        """Always: the core is loaded before it is given here."""
        return True

    @property
    def info(self) -> ModelInfo:
        """The core's model."""
        return self._core.info

    async def generate(self, request: Request) -> AsyncIterator[Event]:
        """See Engine.generate."""
        queue: asyncio.Queue[Event] = asyncio.Queue()
        self._queues[request.request_id] = queue
        ended = False
        try:
            async with self._between_steps:
                for event in self._core.add(request):
                    queue.put_nowait(event)
            if self._stepping is None or self._stepping.done():
                self._stepping = asyncio.create_task(self._step_while_busy(), name="engine steps")
            while not ended:
                event = await queue.get()
                ended = isinstance(event, FinishEvent | ErrorEvent)
                yield event
        finally:
            self._queues.pop(request.request_id, None)
            if not ended:
                await self.cancel(request.request_id)

    async def cancel(self, request_id: str) -> None:
        """End a request between two steps."""
        async with self._between_steps:
            self._core.cancel(request_id)

    def stats(self) -> Stats:
        """The core's figures."""
        return self._core.stats()

    async def close(self) -> None:
        """Wait for the step under way, then forget all requests."""
        self._closing = True
        if self._stepping is not None:
            await self._stepping
        for request_id in list(self._queues):
            await self.cancel(request_id)

    async def _step_while_busy(self) -> None:
        while self._core.busy and not self._closing:
            try:
                async with self._between_steps:
                    events = await asyncio.to_thread(self._core.step)
            except BaseException:
                self._fail_all()
                raise
            for event in events:
                queue = self._queues.get(event.request_id)
                if queue is not None:
                    queue.put_nowait(event)
            await asyncio.sleep(0)

    def _fail_all(self) -> None:
        """The core has failed in a step: that is the end of every request."""
        message = "the engine failed while it worked on this request"
        for request_id, queue in self._queues.items():
            queue.put_nowait(ErrorEvent(request_id=request_id, status=503, code="engine_unavailable", message=message))
