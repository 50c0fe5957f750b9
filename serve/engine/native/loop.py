"""The step loop: plan, forward, draw, emit. Single-threaded and synchronous; a process (or a test) calls ``step`` in a loop.

One step is one ragged forward pass: prompt chunks, single tokens and drafts of many sequences together. See
docs/architecture.md for the life of a request.
"""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dovetail.kernels.ops import describe, describe_gpu
from dovetail.models.errors import ModelDirectoryError
from dovetail.models.loader import LoadedModel
from dovetail.models.lora import Adapter
from dovetail.models.tokenizer import Tokenizer
from dovetail.serve.constrain.base import CompileConstraint, Constraint, Draft
from dovetail.serve.engine.native.absorb import Absorb, pooled_event
from dovetail.serve.engine.native.ahead import Ahead
from dovetail.serve.engine.native.blocks import BlockPool
from dovetail.serve.engine.native.draw import Draw, Drawn, Sample
from dovetail.serve.engine.native.graphs import GraphLimits
from dovetail.serve.engine.native.memory import DeviceMemory, memory_errors
from dovetail.serve.engine.native.pace import PROBE_LENGTH, Acceptance, PromptPace, SproutCost, StepCost, Trust
from dovetail.serve.engine.native.runner import Runner
from dovetail.serve.engine.native.sampler import sample
from dovetail.serve.engine.native.scheduler import Limits, Scheduler
from dovetail.serve.engine.native.sequence import Sequence, Work, total_rows
from dovetail.serve.engine.native.sprout import Budget, Sprouting
from dovetail.serve.engine.native.tier import SecondTier
from dovetail.serve.engine.native.usual import UsualSoon
from dovetail.serve.engine.request.admission import check_request, error_event
from dovetail.serve.engine.request.compiling import Compiling
from dovetail.serve.engine.request.totals import Totals
from dovetail.serve.errors import DovetailError, UserError
from dovetail.serve.types import ErrorEvent, Event, FinishEvent, FinishReason, ModelInfo, Request, Stats

_PATIENCE_S, _PATIENCE_ALONE_S = 0.001, 0.05
"""How long a step may wait for constraints that cannot say yet: while others wait with it, and while nobody does."""


@dataclass(frozen=True)
class NativeSettings:
    """Sizes of the native engine, all positive. ``kv_blocks`` blocks of ``block_size`` tokens are allocated at start.

    ``target_step_s``: about how long running streams may wait for a step that also computes somebody's prompt.
    ``eager_drafts``: drafts are as long as they may be, whether they pay or not; for measuring drafters.
    ``host_memory``, ``disk_memory``: bytes for blocks that had to leave the cache, in host memory and in ``disk_folder``.
    ``graphs``: decoding steps are captured at start, on a CUDA device. ``narrow_cache``: keys and values in 8 bits.
    """

    max_model_len: int
    kv_blocks: int
    block_size: int = 16
    max_num_seqs: int = 16
    max_batched_tokens: int = 512
    max_draft: int = 32
    target_step_s: float = 0.2
    eager_drafts: bool = False
    graphs: bool = True
    narrow_cache: bool = False
    host_memory: int = 0
    disk_folder: Path | None = None
    disk_memory: int = 0


class NativeEngine:
    """Generates for every added request until it ends; ``step`` returns the events of one forward pass.

    ``note``: told what native code is at work, for the log of a crash. ``usual``: what usually follows in code, for drafts.
    """

    def __init__(
        self,
        model: LoadedModel,
        tokenizer: Tokenizer,
        settings: NativeSettings,
        compile_constraint: CompileConstraint,
        note: Callable[[str], None] = lambda text: None,
        sample: Sample = sample,
        usual: UsualSoon | None = None,
    ) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._settings = settings
        self._compiling = Compiling(compile_constraint, note=note)
        self._device_memory = DeviceMemory(model.decoder.device)
        graphs = GraphLimits(settings.max_num_seqs, settings.max_draft, settings.max_model_len)
        self._runner = Runner(
            model,
            settings.kv_blocks,
            settings.block_size,
            graphs if settings.graphs else None,
            narrow=settings.narrow_cache,
        )
        self._tier = self._second_tier(settings)
        self._pool = BlockPool(settings.kv_blocks, settings.block_size, self._tier)
        runs = self._runner.branching_runs
        limits = Limits(settings.max_num_seqs, settings.max_batched_tokens, settings.max_draft, runs)
        self._scheduler = Scheduler(self._pool, limits)
        self._most_branching = math.inf if runs is None else runs
        self._ahead = Ahead(self._runner, self._scheduler)
        self._totals = Totals()
        self._absorb = Absorb(self._scheduler, tokenizer.eos_ids, self._totals)
        self._vocab_size = min(tokenizer.size, model.config.vocab_size)
        self._draw = Draw(self._vocab_size, tokenizer.eos_ids, sample)
        self._cost = StepCost()
        self._acceptance = Acceptance(forget=0.99)
        self._trust = Trust(forget=0.998)
        self._sprouting = SproutCost()
        self._usual = usual
        self._prompts = PromptPace(settings.target_step_s)
        self._adapters: dict[str, Adapter] = {}
        self._sequences: dict[str, Sequence] = {}
        self._deadlines: dict[str, tuple[float, float]] = {}
        self._waited_s = 0.0

    def _second_tier(self, settings: NativeSettings) -> SecondTier | None:
        size = SecondTier.block_bytes(self._runner.cache)
        host = settings.host_memory // size
        if not host:
            return None
        disk = settings.disk_memory // size if settings.disk_folder is not None else 0
        return SecondTier(self._runner.cache, host, settings.disk_folder if disk else None, disk)

    @property
    def info(self) -> ModelInfo:
        """What is loaded."""
        return ModelInfo(
            architecture=self._model.config.architecture,
            parameters=self._model.parameters,
            weight_bytes=self._model.weight_bytes,
            dtype=self._model.storage,
            vocab_size=self._vocab_size,
            max_model_len=self._settings.max_model_len,
            kernels=describe() if self._model.decoder.device.type == "cpu" else describe_gpu(),
        )

    @property
    def begun_ahead(self) -> int:
        """Steps that began before the host knew the tokens of the one before."""
        return self._ahead.begun

    @property
    def busy(self) -> bool:
        """Whether there is anything left to compute."""
        return bool(self._sequences or self._compiling)

    def add(self, request: Request) -> list[Event]:
        """Take a request; returns its one ErrorEvent when it cannot be served."""
        try:
            if request.request_id in self._sequences or request.request_id in self._compiling:
                raise UserError(f"request id {request.request_id!r} is already running", code="duplicate_request")
            room = self._pool.total * self._pool.block_size - (request.pooling is not None)
            longest = min(self._settings.max_model_len, room)
            check_request(request, longest, self._model.config.vocab_size)
            self._adapter_of(request)
            constraint = self._compiling.start(request)
        except DovetailError as error:
            return [error_event(request.request_id, error)]
        if request.timeout_s is not None:
            self._deadlines[request.request_id] = time.perf_counter() + request.timeout_s, request.timeout_s
        if request.request_id not in self._compiling:
            self._begin(request, constraint)
        return []

    def load_adapter(self, name: str, path: str) -> None:
        """Take the adapter in this directory, in place of one of that name; requests under way keep theirs. Raises UserError."""
        try:
            self._adapters[name] = Adapter.load(Path(path), self._model.decoder)
        except ModelDirectoryError as error:
            raise UserError(str(error), code="bad_adapter") from error

    def unload_adapter(self, name: str) -> None:
        """Forget an adapter; requests under way keep theirs. Raises UserError."""
        if self._adapters.pop(name, None) is None:
            raise UserError(f"there is no adapter {name!r} here", code="bad_adapter")

    def _adapter_of(self, request: Request) -> Adapter | None:
        if request.adapter is None:
            return None
        if request.adapter not in self._adapters:
            raise UserError(f"the adapter {request.adapter!r} is not loaded", status=404, code="model_not_found")
        return self._adapters[request.adapter]

    def _begin(self, request: Request, constraint: Constraint | None) -> None:
        seed = request.sampling.seed if request.sampling.seed is not None else secrets.randbits(63)
        usual = self._usual.now if self._usual is not None else None
        sequence = Sequence.start(request, seed, self._tokenizer, constraint, self._adapter_of(request), usual)
        sequence.acceptance = Acceptance(self._acceptance)
        sequence.trust = Trust(self._trust)
        self._sequences[request.request_id] = sequence
        self._scheduler.add(sequence)

    def _begin_compiled(self) -> list[Event]:
        """Queue the requests whose constraint has been compiled meanwhile."""
        events: list[Event] = []
        for request, compiled in self._compiling.finished():
            try:
                if isinstance(compiled, DovetailError):
                    raise compiled
                self._begin(request, compiled)
            except DovetailError as error:
                self._deadlines.pop(request.request_id, None)
                events.append(error_event(request.request_id, error))
        return events

    def cancel(self, request_id: str) -> None:
        """End a request without another event; unknown ids are ignored."""
        sequence = self._sequences.get(request_id)
        if sequence is not None:
            self._forget(sequence, "cancelled")
        elif self._compiling.drop(request_id) is not None:
            self._deadlines.pop(request_id, None)
            self._totals.finished["cancelled"] += 1

    def step(self) -> list[Event]:
        """Run one forward pass over whatever is due. Raises MemoryError when there is no memory for it: the end of this engine."""
        start = time.perf_counter()
        events = self._expire(start) + self._begin_compiled()
        propose = self._wish if self._ahead.under_way else self._propose
        work = self._scheduler.plan(propose, self._prompts.budget(self._settings.max_batched_tokens))
        if not work:
            if self._compiling and not events:
                self._compiling.wait()
            self._await_any()
            return events
        self._compiling.meter.works("")
        patience_s = _PATIENCE_S if self._scheduler.running > 1 else _PATIENCE_ALONE_S
        with memory_errors():
            work, drawn = self._computed(work, patience_s)
        decode_only = all(share.count == 1 for share in work)
        (self._cost if decode_only else self._prompts).observe(total_rows(work), time.perf_counter() - start)
        self._totals.steps += 1
        for share in work:
            sequence = share.sequence
            sequence.passes += 1
            if sequence.generated == 0:
                self._totals.prompt_tokens += share.count
            if share.samples:
                outcome = next(drawn)
                self._scheduler.chosen(share, outcome.last)
                sequence.computed += share.count
                said = self._absorb(share, outcome)
                self._forget_ended(sequence, said)
                events += said
            else:
                sequence.computed += share.count
                self._scheduler.computed(sequence)
                if sequence.pool is not None and not sequence.pending:
                    events.append(pooled_event(sequence))
                    self._forget(sequence, "stop")
        return events

    def _computed(self, work: list[Work], patience_s: float) -> tuple[list[Work], Iterator[Drawn]]:
        """What of ``work`` is done now, and what was drawn for those that sample. The step after it begins, where that may be, before
        the host waits for this one's tokens."""
        work, logits = self._ahead.take(work)
        if logits is None:
            logits = self._runner.forward(work)
        follows = self._ahead.may_follow(work)
        begun = self._draw.begin(work, logits, overwritten=follows)
        if follows and begun.device is not None:
            self._ahead.begin(work, begun.device.chosen, begun.device.fetched)
        return work, iter(self._draw.finish(begun, patience_s))

    def _forget_ended(self, sequence: Sequence, said: list[Event]) -> None:
        """Forget the request if the last that was said of it is its end."""
        last = said[-1] if said else None
        if isinstance(last, FinishEvent):
            self._forget(sequence, last.reason)
        elif isinstance(last, ErrorEvent):
            self._forget(sequence, "cancelled")

    def _forget(self, sequence: Sequence, reason: FinishReason) -> None:
        del self._sequences[sequence.request.request_id]
        self._deadlines.pop(sequence.request.request_id, None)
        self._scheduler.remove(sequence)
        self._totals.finished[reason] += 1

    def _await_any(self) -> None:
        """Nothing can be computed: wait a little for what a constraint has to know, if that is why."""
        answer = next((sequence.awaits for sequence in self._scheduler if sequence.awaits is not None), None)
        if answer is not None:
            began = time.perf_counter()
            answer.wait(_PATIENCE_ALONE_S)
            self._waited_s += time.perf_counter() - began

    def _expire(self, now: float) -> list[Event]:
        """End the requests whose time is up."""
        events: list[Event] = []
        for request_id, (deadline, seconds) in list(self._deadlines.items()):
            if deadline > now:
                continue
            self.cancel(request_id)
            message = f"the request was not done within its timeout of {seconds} s"
            events.append(ErrorEvent(request_id=request_id, status=504, code="deadline_exceeded", message=message))
        return events

    def stats(self) -> Stats:
        """Gauges now, counters since the start."""
        device_bytes, device_total_bytes = self._device_memory()
        return Stats(
            running=self._scheduler.running,
            waiting=self._scheduler.waiting + len(self._compiling),
            kv_blocks_total=self._pool.total,
            kv_blocks_free=self._pool.free,
            kv_blocks_cached=self._pool.cached,
            steps=self._totals.steps,
            prompt_tokens=self._totals.prompt_tokens,
            cached_tokens=self._totals.cached_tokens,
            generated_tokens=self._totals.generated_tokens,
            drafted_tokens=self._totals.drafted_tokens,
            accepted_tokens=self._totals.accepted_tokens,
            rollbacks=self._totals.rollbacks,
            preemptions=self._scheduler.preemptions,
            constraint_s=self._compiling.meter.seconds,
            awaited_s=self._waited_s + self._draw.awaited_s,
            sat_out=self._totals.sat_out,
            overruled=self._totals.overruled,
            device_bytes=device_bytes,
            device_total_bytes=device_total_bytes,
            finished=dict(self._totals.finished),
        )

    def check(self) -> None:
        """Assert the engine's invariants (tests call this after every scenario)."""
        self._scheduler.check()
        assert set(self._sequences.values()) == set(self._scheduler), "a sequence is scheduled but unknown, or lost"

    def _propose(self, sequence: Sequence, limit: int) -> Draft:
        if sequence.drafter is None:
            return Draft(())
        acceptance, running = sequence.acceptance, self._scheduler.running
        if self._settings.eager_drafts:
            draft = sequence.drafter.propose(limit)
            return self._branched(sequence, draft, Budget(limit, draft.forced))
        most = acceptance.limit(self._cost, running, limit)
        if not most and sequence.constraint is None:
            return Draft(())
        draft = sequence.drafter.propose(limit if sequence.constraint is not None else most)
        # A probe has a length of its own, and forced text is nearly always confirmed, whatever became of the guesses.
        length = most if most <= PROBE_LENGTH else acceptance.length(draft.evidence, self._cost, running, most)
        draft = draft._replace(tokens=draft.tokens[: max(length, draft.forced)])
        if not self._cost.known:
            return draft
        price = (self._cost.per_row(running) + self._sprouting.price(self._cost)) * running
        return self._branched(sequence, draft, Budget(limit, len(draft.tokens), price, sequence.trust.share))

    def _wish(self, sequence: Sequence, limit: int) -> Draft:
        """No draft, for the step has begun; but whether one would have paid is noted, so that the step after it has drafts."""
        if sequence.drafter is not None and not self._ahead.wished:
            draft = sequence.drafter.propose(limit)
            pays = sequence.acceptance.pays(draft.evidence, self._cost, self._scheduler.running, limit)
            self._ahead.wished = bool(draft.tokens) and (draft.forced > 0 or pays)
        return Draft(())

    def _branched(self, sequence: Sequence, draft: Draft, budget: Budget) -> Draft:
        """With what may come instead, as far as rows are left and it pays."""
        if sequence.drafter is None or self._scheduler.running >= self._most_branching:
            return draft
        chances = sequence.acceptance.chances(len(draft.tokens), draft.forced, draft.evidence)
        began = time.perf_counter()
        grown = Sprouting(draft, chances, sequence.drafter.followers, sequence.constraint).grown(budget)
        self._sprouting.observe(sum(len(branch.tokens) for branch in grown.branches), time.perf_counter() - began)
        return grown
