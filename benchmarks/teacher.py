"""Teacher forcing through the real engine: the forward pass is computed, the sampler is told the true token.

What is measured so is what a model would cost that writes exactly this text. One request at a time. Knows no edit format.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from torch import Tensor

from dovetail.models.loader import load_model
from dovetail.models.tokenizer import Tokenizer
from dovetail.serve.constrain.base import CompileConstraint, Constraint, Draft, Int32Array, Retreat
from dovetail.serve.engine.native.loop import NativeEngine, NativeSettings
from dovetail.serve.engine.native.sampler import Rows
from dovetail.serve.engine.native.usual import UsualSoon
from dovetail.serve.types import ConstraintSpec, ErrorEvent, FinishEvent, Request, SamplingParams, TokensEvent, Usage

T = TypeVar("T")


@dataclass
class Pass:
    """One forward pass that gave tokens: how many, seconds of it, seconds of them in the constraint."""

    tokens: int
    seconds: float
    constraint_seconds: float


@dataclass
class Run:
    """One text told to the engine. ``refused``: the position of the first true token that was not allowed."""

    tokens: int
    passes: list[Pass] = field(default_factory=list)
    refused: int | None = None
    usage: Usage = field(default_factory=Usage)

    @property
    def decode_seconds(self) -> float:
        """From the end of the pass that computed the prompt's end."""
        return sum(each.seconds for each in self.passes[1:])


class Teacher:
    """In the sampler's place: says the true tokens; where one is forbidden, the likeliest that is allowed."""

    def __init__(self) -> None:
        self.truth: Sequence[int] = ()
        self.prompt = 0

    def __call__(self, logits: Tensor, rows: Rows) -> list[int]:
        """The true token of every row's place."""
        told = [self.truth[min(position - self.prompt, len(self.truth) - 1)] for position in rows.positions]
        scores = logits.numpy()
        for row, token in enumerate(told):
            if scores[row, token] == -math.inf:
                told[row] = int(scores[row].argmax())
        return told


class Classroom:
    """An engine that is told what to say."""

    def __init__(
        self,
        directory: Path,
        compile_constraint: CompileConstraint,
        max_draft: int,
        *,
        quantize: str | None = None,
        eager: bool = False,
    ) -> None:
        self.tokenizer = Tokenizer.load(directory)
        self._teacher = Teacher()
        self._watch = Stopwatch()
        settings = NativeSettings(
            max_model_len=40_000,
            kv_blocks=2_600,
            max_num_seqs=1,
            max_batched_tokens=1024,
            max_draft=max_draft,
            eager_drafts=eager,
        )

        def timed(spec: ConstraintSpec) -> Constraint:
            return TimedConstraint(compile_constraint(spec), self._watch)

        model = load_model(directory, dtype="auto", quantize=quantize)
        usual = UsualSoon(self.tokenizer.encode, [self.tokenizer.token_bytes(i) for i in range(self.tokenizer.size)])
        usual.wait()
        self._engine = NativeEngine(model, self.tokenizer, settings, timed, sample=self._teacher, usual=usual)
        self._eos = min(self.tokenizer.eos_ids)
        self._count = 0

    def run(self, prompt: Sequence[int], truth: Sequence[int], **request: object) -> Run:
        """Make the engine say ``truth`` and end; ``request``: further fields of the request."""
        self._count += 1
        self._teacher.truth, self._teacher.prompt = (*truth, self._eos), len(prompt)
        at = 0
        done = Run(len(truth))
        name = str(self._count)
        sampling = SamplingParams(max_tokens=len(truth) + 1, temperature=0.0)
        fields = {"request_id": name, "prompt": tuple(prompt), "sampling": sampling, "cache_salt": name, **request}
        events = self._engine.add(Request(**fields))  # type: ignore[arg-type]
        while True:
            for event in events:
                if isinstance(event, ErrorEvent):
                    raise RuntimeError(event.message)
                if isinstance(event, FinishEvent):
                    done.usage = event.usage
                    return done
            start, self._watch.seconds = time.perf_counter(), 0.0
            events = self._engine.step()
            seconds = time.perf_counter() - start
            said = [token for event in events if isinstance(event, TokensEvent) for token in event.tokens]
            if events:
                done.passes.append(Pass(len(said), seconds, self._watch.seconds))
            wrong = [k for k, token in enumerate(said) if [token] != list(truth[at + k : at + k + 1])]
            if wrong or (events and not said and at < len(truth)):
                done.refused = at + (wrong[0] if wrong else 0)
                self._engine.cancel(name)
                return done
            at += len(said)


class Stopwatch:
    """Processor seconds of this thread in a constraint since it was last set to zero: what else runs here is not counted."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def time(self, call: Callable[[], T]) -> T:
        """``call()``, timed."""
        start = time.thread_time()
        result = call()
        self.seconds += time.thread_time() - start
        return result


class TimedConstraint:
    """A constraint whose every call is timed (see serve/constrain/base.py for the methods)."""

    def __init__(self, inner: Constraint, watch: Stopwatch) -> None:
        self._inner = inner
        self._watch = watch

    def allows(self, token: int) -> bool:
        return self._watch.time(lambda: self._inner.allows(token))

    def mask_into(self, words: Int32Array) -> bool:
        return self._watch.time(lambda: self._inner.mask_into(words))

    def advance(self, token: int) -> Constraint:
        return TimedConstraint(self._watch.time(lambda: self._inner.advance(token)), self._watch)

    def draft(self, limit: int) -> Draft:
        return self._watch.time(lambda: self._inner.draft(limit))

    def admits(self, tokens: Sequence[int]) -> int:
        return self._watch.time(lambda: self._inner.admits(tokens))

    def may_end(self) -> bool:
        return self._watch.time(self._inner.may_end)

    def retreat(self) -> Retreat | None:
        return self._inner.retreat()

    def settled(self) -> int | None:
        return self._inner.settled()
