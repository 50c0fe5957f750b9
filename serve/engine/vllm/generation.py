"""One request from its first ask to its last event: as one ask where nothing holds it, by segments where a constraint does.

*Let it run, replay, cut, redo.* vLLM continues the output freely while every token that comes is replayed through the
constraint. At the first that it refuses the continuation is closed; one token is asked for from what the constraint allows
there, behind the prefix that is cached by then; and the output runs freely again. The accepted tokens are distributed as
under full masking: p(t) + (1 - Z) p(t) / Z = p(t) / Z. Where the constraint leaves few tokens and the model has just been
refused, the choice is narrowed beforehand; text without an alternative is appended without asking.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any

import numpy as np
import numpy.typing as npt

from dovetail.serve.constrain.base import Constraint, Pending, Retreat
from dovetail.serve.engine.vllm.backend import Ask, Backend, Delta, Loaded
from dovetail.serve.engine.vllm.output import Output, failed
from dovetail.serve.engine.vllm.sampling import continued, counts_output, none_of, one_of, sampling_of
from dovetail.serve.types import Event, FinishReason, Origin, Request, TokenLogprob

NARROW = 64
"""So few tokens are all checked before one of them is asked for."""
TRIES = 4
"""Draws at one position before the likeliest tokens are all checked."""
LISTED = 2048
"""So many tokens are named to vLLM where one of them is to come; of more, those that must not."""
LIKELIEST = 128
"""How many of them: where the constraint takes none, it is asked for its retreat."""
TRUST = 8
"""Tokens in a row that the constraint took, after which a model is let run where few are allowed too."""
_POLL_S = 0.002
Tokens = npt.NDArray[np.intp]


class Generation:
    """``say``: takes the events as they come. ``vocab_size``: of tokens that may be drawn."""

    def __init__(
        self,
        backend: Backend,
        output: Output,
        constraint: Constraint | None,
        say: Callable[[Sequence[Event]], None],
        *,
        eos_ids: frozenset[int],
        vocab_size: int,
        adapter: Loaded | None = None,
    ) -> None:
        self._backend = backend
        self._output = output
        self._state = constraint
        self._say = say
        self._size = vocab_size
        self._adapter = adapter
        self._eos = frozenset(token for token in eos_ids if token < vocab_size)
        params = output.request.sampling
        self._stops = self._stop_ids(output.request)
        self._whole = sampling_of(params, vocab_size=vocab_size, stop_ids=self._stops)
        self._counts = counts_output(params)
        self._logged = params.logprobs is not None
        self._asked = 0
        self._accepted = TRUST

    async def run(self) -> None:
        """Until the request's last event has been said. Raises DovetailError where there is none."""
        if self._state is None:
            await self._free()
        else:
            while not self._output.finished:
                await self._held(self._state)
                self._tell()

    def _stop_ids(self, request: Request) -> frozenset[int]:
        if self._state is not None:
            return self._eos
        params = request.sampling
        return frozenset() if params.ignore_eos else self._eos | frozenset(params.stop_token_ids)

    async def _free(self) -> None:
        async with aclosing(self._continuation(self._whole)) as deltas:
            async for delta in deltas:
                for token, logprob in self._pairs(delta):
                    if self._take(token, "sampled", logprob):
                        break
                self._tell()
                if self._output.finished:
                    return
        self._output.finish("length", None, None)  # the window is full
        self._tell()

    async def _held(self, state: Constraint) -> None:
        """One move under the constraint: forced text, a narrow choice, or a stretch that runs freely."""
        if self._output.left == 0:
            self._end("length")
            return
        allowed = self._allowed(state)
        if allowed is not None and not len(allowed):
            await self._retreat(state)
        elif self._logged or not await self._append_forced(state, allowed):
            if allowed is not None and len(allowed) <= NARROW and self._accepted < TRUST:
                await self._choose(state, allowed.tolist(), "sampled")
            else:
                await self._let_run()

    async def _let_run(self) -> None:
        """Take what comes until the constraint refuses a token; then that token is drawn again."""
        refused = await self._replayed(self._sampling())
        if refused is None:
            return
        self._tell()
        state, self._accepted = self._state, 0
        assert state is not None
        allowed = self._allowed(state)
        if allowed is not None and len(allowed) <= NARROW:
            await self._choose(state, [token for token in allowed.tolist() if token != refused], "resampled")
        else:
            await self._draw_again(state, allowed, refused)

    async def _replayed(self, sampling: dict[str, Any]) -> int | None:
        """Append what comes; returns the first token that the constraint refuses, if one came."""
        async with aclosing(self._continuation(sampling)) as deltas:
            async for delta in deltas:
                for token, logprob in self._pairs(delta):
                    assert self._state is not None
                    if not await self._allows(self._state, token):
                        return token
                    self._accepted += 1
                    if self._take(token, "sampled", logprob):
                        return None
                self._tell()
        return None

    async def _append_forced(self, state: Constraint, allowed: Tokens | None) -> bool:
        """Append text that has no alternative. Its last token is left to the model, which may end it otherwise."""
        draft = state.draft(self._output.left)
        forced = list(draft.tokens[: max(0, draft.forced - 1)])
        if not forced and allowed is not None and len(allowed) == 1:
            forced = [int(allowed[0])]
        for count, token in enumerate(forced):
            assert self._state is not None
            if not await self._allows(self._state, token):
                return count > 0
            if self._take(token, "forced", None):
                return True
        return bool(forced)

    async def _choose(self, state: Constraint, tokens: Sequence[int], origin: Origin) -> None:
        """Ask for one of few tokens, of which the constraint takes each."""
        fine = [token for token in tokens if await self._allows(state, token)]
        if not fine:
            await self._retreat(state)
            return
        if len(fine) > 1 or self._logged:
            [(token, logprob)] = await self._one(one_of(self._sampling(), fine))
        else:
            token, logprob, origin = fine[0], None, "forced"
        # A later one of these checks may have been the refusal after which the state allows nothing any more.
        if await self._allows(state, token):
            self._take(token, origin, logprob)

    async def _draw_again(self, state: Constraint, allowed: Tokens | None, refused: int) -> None:
        """Ask for another token than those that were refused; at last for one of the likeliest that the constraint takes."""
        banned, likely = {refused}, dict[int, None]()
        masked = None if allowed is None else set(allowed.tolist())
        for _ in range(TRIES):
            sampling = none_of(self._sampling(), banned, min(LIKELIEST, self._size))
            if masked is not None and len(masked) <= LISTED:
                sampling = one_of(sampling, sorted(masked - banned))
            [(token, logprob)] = await self._one(sampling, keep_top=True)
            if await self._allows(state, token):
                self._take(token, "resampled", self._shown(logprob))
                return
            banned.add(token)
            likely.update(dict.fromkeys(other for other, _ in logprob.top) if logprob is not None else {})
        left = [token for token in likely if token not in banned and (masked is None or token in masked)]
        await self._choose(state, left, "resampled")

    def _sampling(self) -> dict[str, Any]:
        """Of the next ask, which draws otherwise than the one before it, also where it begins at the same place."""
        return continued(self._whole, self._output.request.sampling, self._output.tokens, asked=self._asked)

    async def _one(self, sampling: dict[str, Any], *, keep_top: bool = False) -> list[tuple[int, TokenLogprob | None]]:
        found: list[tuple[int, TokenLogprob | None]] = []
        async with aclosing(self._continuation(sampling)) as deltas:
            async for delta in deltas:
                found += self._pairs(delta, keep_top=keep_top)
        return found[:1]

    async def _retreat(self, state: Constraint) -> None:
        """No token can come next: back to the constraint's witness and on from there."""
        retreat: Retreat | None = None
        while True:
            try:
                retreat = state.retreat()
                break
            except Pending as pending:
                await _answered(pending)
        if retreat is None:
            self._end("stop" if state.may_end() else "length")
        else:
            self._output.go_back(retreat)
            self._state = retreat.state

    def _take(self, token: int, origin: Origin, logprob: TokenLogprob | None) -> bool:
        """Append an allowed token; whether that ended the output."""
        if token in self._stops:
            self._end("stop", token)
            return True
        stop = self._output.push(token, origin, logprob if self._logged else None)
        if stop is not None:
            self._end("stop", stop)
        elif self._state is not None:
            self._state = self._state.advance(token)
        if not self._output.finished and self._output.left == 0:
            self._end("length")
        return self._output.finished

    def _end(self, reason: FinishReason, stop: str | int | None = None) -> None:
        self._output.finish(reason, stop, self._state)

    def _tell(self) -> None:
        if (error := failed(self._state)) is not None:
            raise error
        if not self._output.finished:
            self._output.tell()
        if events := self._output.take():
            self._say(events)

    def _allowed(self, state: Constraint) -> Tokens | None:
        """The tokens that the constraint's mask leaves, end tokens where it may end; None: it excludes nothing."""
        words = np.zeros((self._size + 31) // 32, dtype=np.int32)
        if not state.mask_into(words):
            return None
        bits = np.unpackbits(words.view(np.uint8), bitorder="little")[: self._size]
        bits[sorted(self._eos)] = state.may_end()
        return np.flatnonzero(bits)

    async def _allows(self, state: Constraint, token: int) -> bool:
        if token in self._eos:
            return state.may_end()
        while True:
            try:
                return token < self._size and state.allows(token)
            except Pending as pending:
                await _answered(pending)

    def _continuation(self, sampling: dict[str, Any]) -> AsyncGenerator[Delta, None]:
        request = self._output.request
        self._asked += 1
        return self._counted(
            Ask(
                ask_id=f"{request.request_id}.{self._asked}",
                prompt=[*request.prompt, *self._output.tokens],
                sampling=sampling,
                priority=request.priority,
                cache_salt=request.cache_salt,
                adapter=self._adapter,
            ),
            first=self._asked == 1,
        )

    async def _counted(self, ask: Ask, *, first: bool) -> AsyncGenerator[Delta, None]:
        async with aclosing(self._backend.generate(ask)) as deltas:
            async for delta in deltas:
                self._output.passes += 1
                if first:
                    self._output.cached, first = delta.cached, False
                yield delta

    def _pairs(self, delta: Delta, *, keep_top: bool = False) -> list[tuple[int, TokenLogprob | None]]:
        if not delta.logprobs:
            return [(token, None) for token in delta.tokens]
        told = delta.logprobs if keep_top else [self._shown(each) for each in delta.logprobs]
        return list(zip(delta.tokens, told, strict=True))

    def _shown(self, logprob: TokenLogprob | None) -> TokenLogprob | None:
        """As many alternatives as the request asks for."""
        wanted = self._output.request.sampling.logprobs
        if logprob is None or wanted is None:
            return None
        return TokenLogprob(logprob.token, logprob.logprob, logprob.top[:wanted])


async def _answered(pending: Pending) -> None:
    while not pending.answer.ready:  # noqa: ASYNC110 (found in another process, which tells whoever looks)
        await asyncio.sleep(_POLL_S)
