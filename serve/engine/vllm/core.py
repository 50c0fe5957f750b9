"""vLLM as the engine process drives it: requests in, events out, while an event loop in a thread of its own does the work."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

from dovetail.models.tokenizer import Tokenizer
from dovetail.serve.constrain.base import CompileConstraint, Constraint
from dovetail.serve.engine.request.admission import check_request, error_event
from dovetail.serve.engine.request.compiling import Compiling
from dovetail.serve.engine.request.text import OutputText
from dovetail.serve.engine.request.totals import Totals
from dovetail.serve.engine.vllm.backend import Backend, Loaded
from dovetail.serve.engine.vllm.generation import Generation
from dovetail.serve.engine.vllm.output import Output
from dovetail.serve.errors import DovetailError, UserError
from dovetail.serve.types import ErrorEvent, Event, FinishEvent, ModelInfo, Request, Stats

_WAIT_S = 0.005
"""How long a step waits for an event: as long as a message to the process may have to wait."""
_ADAPTER_S = 300.0
_CLOSE_S = 30.0
_Result = TypeVar("_Result")


class LoopThread:
    """An event loop that runs until it is closed, whether anybody waits for it or not."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="vllm", daemon=True)
        self._thread.start()

    def submit(self, work: Coroutine[Any, Any, _Result]) -> Future[_Result]:
        """Begin ``work``; cancelling the future cancels it."""
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def run(self, call: Callable[[], _Result]) -> _Result:
        """``call()`` on the loop, however long it takes."""

        async def called() -> _Result:
            return call()

        return self.submit(called()).result()

    def close(self) -> None:
        """Cancel what still runs, and stop the loop."""
        self.submit(self._settle()).result(_CLOSE_S)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(_CLOSE_S)
        self.loop.close()

    async def _settle(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self.loop.shutdown_asyncgens()


class VllmCore:
    """Generates for every added request until it ends (see process/worker.py's Core)."""

    def __init__(
        self,
        backend: Backend,
        thread: LoopThread,
        tokenizer: Tokenizer,
        compile_constraint: CompileConstraint,
        info: ModelInfo,
        *,
        adapters: bool = False,
    ) -> None:
        self.info = info
        self._backend = backend
        self._thread = thread
        self._tokenizer = tokenizer
        self._compiling = Compiling(compile_constraint)
        self._compiled: dict[str, Constraint | DovetailError] = {}
        self._takes_adapters = adapters
        self._adapters: dict[str, Loaded] = {}
        self._numbers = 0
        self._totals = Totals()
        self._running: dict[str, Future[None]] = {}
        self._told: queue.SimpleQueue[tuple[str, Sequence[Event]] | BaseException] = queue.SimpleQueue()

    @property
    def busy(self) -> bool:
        """Whether a request is under way."""
        return bool(self._running)

    def add(self, request: Request) -> list[Event]:
        """Take a request; returns its one ErrorEvent when it cannot be served."""
        try:
            if request.request_id in self._running:
                raise UserError(f"request id {request.request_id!r} is already running", code="duplicate_request")
            if request.pooling is not None:
                raise UserError("this engine (vLLM) makes no embeddings; --engine native does", param="model")
            check_request(request, self.info.max_model_len, self.info.vocab_size)
            adapter = self._adapter_of(request)
        except DovetailError as error:
            return [error_event(request.request_id, error)]
        future = self._thread.submit(self._serve(request, adapter))
        future.add_done_callback(partial(self._done, request.request_id))
        self._running[request.request_id] = future
        return []

    def cancel(self, request_id: str) -> None:
        """End a request without another event; unknown ids are ignored."""
        future = self._running.pop(request_id, None)
        if future is not None:
            future.cancel()
            self._totals.finished["cancelled"] += 1

    def step(self) -> list[Event]:
        """What has been said since the last time; waits a moment for it. Raises what no request alone can be blamed for."""
        events: list[Event] = []
        try:
            told = self._told.get(timeout=_WAIT_S)
            while True:
                events += self._heard(told)
                told = self._told.get_nowait()
        except queue.Empty:
            return events

    def _heard(self, told: tuple[str, Sequence[Event]] | BaseException) -> Sequence[Event]:
        if isinstance(told, BaseException):
            raise told
        request_id, events = told
        if request_id not in self._running:
            return []  # cancelled meanwhile
        last = events[-1]
        if isinstance(last, FinishEvent | ErrorEvent):
            del self._running[request_id]
            self._totals.finished[last.reason if isinstance(last, FinishEvent) else "cancelled"] += 1
        return events

    def _done(self, request_id: str, future: Future[None]) -> None:
        """A request's work has ended: with its last event, by a cancel, or by what ends this engine."""
        if not future.cancelled() and (error := future.exception()) is not None:
            self._told.put(error)

    async def _serve(self, request: Request, adapter: Loaded | None) -> None:
        def say(events: Sequence[Event]) -> None:
            self._told.put((request.request_id, events))

        try:
            async with asyncio.timeout(request.timeout_s) as limit:
                constraint = await self._constraint_of(request)
                text = OutputText(self._tokenizer.detokenizer(request.visible), request.sampling.stop)
                generation = Generation(
                    self._backend,
                    Output(request, text, self._totals),
                    constraint,
                    say,
                    eos_ids=self._tokenizer.eos_ids,
                    vocab_size=self.info.vocab_size,
                    adapter=adapter,
                )
                await generation.run()
        except DovetailError as error:
            say([error_event(request.request_id, error)])
        except TimeoutError:
            if not limit.expired():
                raise
            message = f"the request was not done within its timeout of {request.timeout_s} s"
            event = ErrorEvent(request_id=request.request_id, status=504, code="deadline_exceeded", message=message)
            say([event])

    async def _constraint_of(self, request: Request) -> Constraint | None:
        """The request's constraint, waited for where it is compiled elsewhere. Raises DovetailError."""
        request_id = request.request_id
        found: Constraint | DovetailError | None = self._compiling.start(request)
        try:
            while request_id in self._compiling:
                await asyncio.sleep(_WAIT_S)
                for done, compiled in self._compiling.finished():
                    self._compiled[done.request_id] = compiled
        finally:
            self._compiling.drop(request_id)
            found = self._compiled.pop(request_id, found)
        if isinstance(found, DovetailError):
            raise found
        return found

    def load_adapter(self, name: str, path: str) -> None:
        """Take the adapter in this directory, in place of one of that name; requests under way keep theirs. Raises UserError."""
        if not self._takes_adapters:
            raise UserError("this engine (vLLM) takes adapters only where it is started with --lora or --lora-folder")
        self._numbers += 1
        adapter = Loaded(name, self._numbers, path)
        self._thread.submit(self._backend.add_adapter(adapter)).result(_ADAPTER_S)
        self._adapters[name] = adapter

    def unload_adapter(self, name: str) -> None:
        """Forget an adapter; requests under way keep theirs. Raises UserError."""
        if self._adapters.pop(name, None) is None:
            raise UserError(f"there is no adapter {name!r} here", code="bad_adapter")

    def _adapter_of(self, request: Request) -> Loaded | None:
        if request.adapter is None:
            return None
        if request.adapter not in self._adapters:
            raise UserError(f"the adapter {request.adapter!r} is not loaded", status=404, code="model_not_found")
        return self._adapters[request.adapter]

    def stats(self) -> Stats:
        """Gauges now, counters since the start."""
        figures, totals = self._backend.figures, self._totals
        blocks = self._backend.kv_blocks
        # vLLM tells of itself with each step, and makes none for a request that was its last and was cancelled.
        asked = max(0, len(self._running) - len(self._compiling))
        running = min(figures.running, asked)
        usage = sum(figures.usage.values()) / max(1, len(figures.usage)) if asked else 0.0
        return Stats(
            running=running,
            waiting=min(figures.waiting, asked - running) + len(self._compiling),
            kv_blocks_total=blocks,
            kv_blocks_free=round(blocks * (1 - usage)),
            steps=figures.steps,
            prompt_tokens=totals.prompt_tokens,
            cached_tokens=totals.cached_tokens,
            generated_tokens=totals.generated_tokens,
            drafted_tokens=figures.drafted,
            accepted_tokens=figures.accepted,
            rollbacks=totals.rollbacks,
            preemptions=figures.preemptions,
            constraint_s=self._compiling.meter.seconds,
            overruled=totals.overruled,
            finished=dict(totals.finished),
        )

    def check(self) -> None:
        """Assert that nothing is left of requests that have ended."""
        assert self.busy or not len(self._compiling), "a constraint is compiled for nobody"

    def close(self) -> None:
        """End everything that this engine has started."""
        for request_id in list(self._running):
            self.cancel(request_id)
        self._thread.submit(self._backend.close()).result(_CLOSE_S)
        self._thread.close()
