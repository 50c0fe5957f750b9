"""A tiny random model for engine tests: real decoder, real tokenizer, random weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

from dovetail.models.loader import LoadedModel, load_model
from dovetail.models.random_checkpoint import write_random_checkpoint
from dovetail.models.tokenizer import Tokenizer
from dovetail.serve.constrain.base import Constraint
from dovetail.serve.engine.native.loop import NativeEngine, NativeSettings
from dovetail.serve.types import (
    ErrorEvent,
    Event,
    FinishEvent,
    Origin,
    Request,
    RollbackEvent,
    SamplingParams,
    TokenLogprob,
    TokensEvent,
)


@dataclass
class Result:
    """All that one request's events said."""

    tokens: list[int] = field(default_factory=list)
    text: str = ""
    origins: list[Origin] = field(default_factory=list)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    rollbacks: int = 0
    finish: FinishEvent | None = None
    error: ErrorEvent | None = None

    def take(self, event: Event) -> None:
        assert self.finish is None and self.error is None, "an event after the last one"
        if isinstance(event, TokensEvent):
            assert len(event.tokens) == len(event.origins)
            self.tokens += event.tokens
            self.text += event.text
            self.origins += event.origins
            self.logprobs += event.logprobs or ()
        elif isinstance(event, RollbackEvent):
            del self.tokens[event.keep_tokens :], self.origins[event.keep_tokens :]
            self.text = self.text[: event.keep_chars]
            self.rollbacks += 1
        elif isinstance(event, FinishEvent):
            self.finish = event
        else:
            self.error = event


class Tiny:
    """The tiny model, and engines over it."""

    def __init__(self, model: LoadedModel, tokenizer: Tokenizer) -> None:
        self.model = model
        self.tokenizer = tokenizer

    def engine(
        self, constraint: Constraint | None = None, note: Callable[[str], None] = lambda text: None, **sizes: Any
    ) -> NativeEngine:
        settings = NativeSettings(**{"max_model_len": 512, "kv_blocks": 400, "block_size": 4, **sizes})

        def compile_constraint(spec: object) -> Constraint:
            assert constraint is not None
            return constraint

        return NativeEngine(self.model, self.tokenizer, settings, compile_constraint, note)

    def request(self, text: str = "def add(a, b):\n", name: str = "r", **sampling: Any) -> Request:
        params = SamplingParams(**{"max_tokens": 20, "temperature": 0.0, **sampling})
        return Request(request_id=name, prompt=tuple(self.tokenizer.encode(text)), sampling=params)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    torch.set_num_threads(1)
    directory = write_random_checkpoint(tmp_path_factory.mktemp("tiny") / "model")
    return Tiny(load_model(directory), Tokenizer.load(directory))


@pytest.fixture(scope="session")
def run() -> Callable[[NativeEngine, Iterable[Request]], dict[str, Result]]:
    """Run requests to their end on an engine, checking its invariants after every step."""

    def run_all(engine: NativeEngine, requests: Iterable[Request]) -> dict[str, Result]:
        results: dict[str, Result] = {}
        for request in requests:
            results[request.request_id] = Result()
            for event in engine.add(request):
                results[request.request_id].take(event)
        for _ in range(10_000):
            if not engine.busy:
                break
            for event in engine.step():
                results[event.request_id].take(event)
            engine.check()
        assert all(result.finish or result.error for result in results.values())
        assert engine.stats().kv_blocks_free == engine.stats().kv_blocks_total
        return results

    return run_all
