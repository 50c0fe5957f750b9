"""The Engine seam: what the API needs of whatever generates tokens. Backends: native (in a process of its own), vllm, fake."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol, runtime_checkable

from dovetail.serve.types import Event, ModelInfo, Request, Stats


class Engine(Protocol):
    """Generates tokens for many requests at once.

    Every request ends exactly once: with a FinishEvent, an ErrorEvent, or by ``cancel``.
    """

    @property
    def ready(self) -> bool:
        """Whether the model is loaded and requests are taken."""
        ...

    @property
    def info(self) -> ModelInfo:
        """The loaded model; raises EngineError before ``ready``."""
        ...

    def generate(self, request: Request) -> AsyncIterator[Event]:
        """Events of one request, in order; the last is a FinishEvent or an ErrorEvent.

        Closing the iterator early cancels the request. Raises EngineError when the engine cannot take it.
        """
        ...

    async def cancel(self, request_id: str) -> None:
        """End a request now; unknown or finished ids are ignored."""
        ...

    def stats(self) -> Stats:
        """The latest snapshot."""
        ...

    async def close(self) -> None:
        """Stop generating and give back every resource."""
        ...


@runtime_checkable
class Adapting(Engine, Protocol):
    """An engine that takes LoRA adapters while it runs; requests name theirs."""

    async def load_adapter(self, name: str, path: Path) -> None:
        """Take the adapter in this directory, in place of one of that name. Raises UserError where it cannot be used."""
        ...

    async def unload_adapter(self, name: str) -> None:
        """Forget an adapter; requests that have it go on."""
        ...
