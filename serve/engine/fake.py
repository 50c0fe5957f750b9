"""A scripted Engine for API tests: says what its script says, and remembers what it was asked. Runs no model."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence

import msgspec

from dovetail.serve.errors import EngineError
from dovetail.serve.types import (
    ConstraintReport,
    ErrorEvent,
    Event,
    FinishEvent,
    FinishReason,
    ModelInfo,
    Origin,
    Request,
    Stats,
    TokenLogprob,
    TokensEvent,
    Usage,
)

Step = Event | float | BaseException
"""One line of a script: an event to emit (its request id is filled in), seconds to wait, or an exception to raise."""

Script = Callable[[Request], Iterable[Step]]

FAKE_INFO = ModelInfo(
    architecture="Fake", parameters=0, weight_bytes=0, dtype="float32", vocab_size=258, max_model_len=4096
)


class FakeEngine:
    """Plays ``script`` for every request."""

    def __init__(self, script: Script, *, ready: bool = True, info: ModelInfo = FAKE_INFO) -> None:
        self.script = script
        self.ready = ready
        self.requests: list[Request] = []
        self.cancelled: list[str] = []
        self.finished: list[str] = []
        self.running = 0
        self.closed = False
        self._info = info

    @property
    def info(self) -> ModelInfo:
        """The model it pretends to run."""
        if not self.ready:
            raise EngineError("The model is still loading.")
        return self._info

    async def generate(self, request: Request) -> AsyncGenerator[Event, None]:
        """The script's events; leaving early counts as a cancel."""
        if not self.ready:
            raise EngineError("The model is still loading.")
        self.requests.append(request)
        self.running += 1
        try:
            for step in self.script(request):
                if isinstance(step, float | int):
                    await asyncio.sleep(step)
                elif isinstance(step, BaseException):
                    raise step
                else:
                    if isinstance(step, FinishEvent | ErrorEvent):
                        self.finished.append(request.request_id)
                    yield msgspec.structs.replace(step, request_id=request.request_id)
                    await asyncio.sleep(0)
        finally:
            self.running -= 1

    async def cancel(self, request_id: str) -> None:
        """Remember the cancel."""
        if request_id not in self.finished and request_id not in self.cancelled:
            self.cancelled.append(request_id)

    def stats(self) -> Stats:
        """Counts of what was asked so far."""
        return Stats(
            running=self.running,
            kv_blocks_total=8,
            kv_blocks_free=8 - min(8, self.running),
            finished={"stop": len(self.finished), "cancelled": len(self.cancelled)},
        )

    async def close(self) -> None:
        """Remember the close."""
        self.closed = True


def reply(
    request: Request,
    pieces: Sequence[str],
    encode: Callable[[str], list[int]],
    *,
    origin: Origin = "sampled",
    delay: float = 0.0,
    constraint: ConstraintReport | None = None,
) -> Iterator[Step]:
    """The steps of an ordinary answer: one event per piece, then the finish; obeys max_tokens and logprobs."""
    left = request.sampling.max_tokens
    reason: FinishReason = "stop"
    emitted = 0
    for piece in pieces:
        tokens = encode(piece)
        if len(tokens) > left:
            reason = "length"
            break
        left -= len(tokens)
        emitted += len(tokens)
        if delay:
            yield delay
        yield TokensEvent(
            request_id="",
            tokens=tuple(tokens),
            text=piece,
            origins=(origin,) * len(tokens),
            logprobs=_logprobs(tokens, request.sampling.logprobs),
        )
    usage = Usage(prompt_tokens=len(request.prompt), completion_tokens=emitted, forward_passes=emitted)
    yield FinishEvent(request_id="", reason=reason, usage=usage, constraint=constraint)


def _logprobs(tokens: Sequence[int], alternatives: int | None) -> tuple[TokenLogprob, ...] | None:
    if alternatives is None:
        return None
    return tuple(
        TokenLogprob(token, -0.5, tuple((token + rank, -0.5 - rank) for rank in range(alternatives)))
        for token in tokens
    )
