"""Records on their way to where they are kept: waited for together, and whoever waits is told of one that did not arrive."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future

from dovetail.serve.errors import DovetailError


class Writes:
    """What other threads are still to write. Added to and waited for on the event loop."""

    def __init__(self) -> None:
        self._pending: set[Future[None]] = set()
        self._failure: DovetailError | None = None

    def __bool__(self) -> bool:
        return bool(self._pending)

    def add(self, write: Future[None]) -> None:
        """One more is on its way."""
        self._pending.add(write)
        write.add_done_callback(self._pending.discard)

    def failed(self, error: DovetailError) -> None:
        """One did not arrive; whoever waits next is told. From any thread, before its future is done."""
        self._failure = error

    async def done(self) -> None:
        """Wait until all that was added so far has arrived. Raises the error of one that did not, once."""
        writes = list(self._pending)  # at once: other threads take out what is done
        if writes:
            await asyncio.wait({asyncio.wrap_future(write) for write in writes})
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
