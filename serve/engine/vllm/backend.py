"""The seam between this server's requests and vLLM's: token ids in, token ids out. Knows no vLLM; versions.py implements it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from dovetail.serve.types import TokenLogprob


class BackendGone(Exception):
    """The engine behind the seam has ended and answers nobody any more."""


@dataclass(frozen=True)
class Loaded:
    """An adapter as the backend knows it: a name and a number that no other ever had, since caches go by them."""

    name: str
    number: int
    path: str


@dataclass(frozen=True, kw_only=True)
class Ask:
    """One continuation of ``prompt``. ``sampling``: vLLM's SamplingParams by name."""

    ask_id: str
    prompt: list[int]
    sampling: Mapping[str, Any]
    priority: int = 0
    cache_salt: str | None = None
    adapter: Loaded | None = None


@dataclass(frozen=True)
class Delta:
    """New tokens of a continuation; the token that ends it is among them. ``cached``: tokens of the prompt found in the cache."""

    tokens: tuple[int, ...]
    logprobs: tuple[TokenLogprob, ...] = ()
    cached: int = 0


@dataclass
class Figures:
    """What the backend says of itself: gauges, and counters since its start."""

    running: int = 0
    waiting: int = 0
    usage: dict[int, float] = field(default_factory=dict)
    steps: int = 0
    preemptions: int = 0
    drafted: int = 0
    accepted: int = 0


class Backend(Protocol):
    """Generates for many asks at once, on one event loop."""

    @property
    def figures(self) -> Figures:
        """The latest."""
        ...

    @property
    def kv_blocks(self) -> int:
        """Blocks of the key-value cache, on all its engines together."""
        ...

    def generate(self, ask: Ask) -> AsyncGenerator[Delta, None]:
        """The continuation as it comes; closing it early ends it there.

        Raises:
            UserError: the ask cannot be served.
            EngineError: it failed.
            BackendGone: as everybody's else.
        """
        ...

    async def add_adapter(self, adapter: Loaded) -> None:
        """Take an adapter. Raises UserError where it cannot be used."""
        ...

    async def close(self) -> None:
        """End it, and every process of it."""
        ...
