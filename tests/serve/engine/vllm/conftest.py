"""An engine over a package that looks like vLLM, and a way to run requests on it to their end."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # fake_vllm

import fake_vllm
from tiny import write_tiny_checkpoint

from dovetail.models.random_checkpoint import MARKER_TOKENS
from dovetail.models.tokenizer import Tokenizer
from dovetail.serve.constrain.base import Constraint
from dovetail.serve.engine.vllm.arguments import VllmSettings, engine_arguments
from dovetail.serve.engine.vllm.core import LoopThread, VllmCore
from dovetail.serve.engine.vllm.versions import InstalledVllm
from dovetail.serve.types import ErrorEvent, Event, FinishEvent, ModelInfo, Request, RollbackEvent, SamplingParams


class Result:
    """All that one request's events said."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.origins: list[str] = []
        self.logprobs: list[Any] = []
        self.text = ""
        self.rollbacks = 0
        self.finish: FinishEvent | None = None
        self.error: ErrorEvent | None = None

    def take(self, event: Event) -> None:
        assert self.finish is None and self.error is None, "an event after the last one"
        if isinstance(event, FinishEvent):
            self.finish = event
        elif isinstance(event, ErrorEvent):
            self.error = event
        elif isinstance(event, RollbackEvent):
            del self.tokens[event.keep_tokens :], self.origins[event.keep_tokens :]
            del self.logprobs[event.keep_tokens :]
            self.text = self.text[: event.keep_chars]
            self.rollbacks += 1
        else:
            assert len(event.tokens) == len(event.origins)
            self.tokens += event.tokens
            self.origins += event.origins
            self.logprobs += event.logprobs or ()
            self.text += event.text


def noise(ids: Any) -> np.ndarray[Any, Any]:
    """A model whose next token depends on the last two."""
    return np.random.default_rng([7, *ids[-2:]]).normal(size=512) * 2


class Fake:
    """The engine, and what stands in for vLLM behind it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.tokenizer = Tokenizer.load(directory)
        self.cores: list[VllmCore] = []

    @property
    def vllm(self) -> fake_vllm.AsyncLLM:
        return fake_vllm.AsyncLLM.last

    def core(
        self,
        constraint: Constraint | None = None,
        *,
        compile_constraint: Any = None,
        logits: fake_vllm.Logits = noise,
        adapters: bool = False,
        window: int = 512,
    ) -> VllmCore:
        fake_vllm.AsyncLLM.logits = staticmethod(logits)  # type: ignore[assignment]
        settings = VllmSettings(
            model=str(self.directory), dtype="auto", max_model_len=window, max_num_seqs=8, max_batched_tokens=64,
            adapters=adapters,
        )  # fmt: skip
        vllm = InstalledVllm()
        thread = LoopThread()
        arguments = engine_arguments(settings, vllm.argument_names)
        backend = thread.run(lambda: vllm.start(arguments))
        size = min(512, self.tokenizer.size)
        info = ModelInfo(
            architecture="Fake", parameters=0, weight_bytes=0, dtype=backend.dtype, vocab_size=size,
            max_model_len=window,
        )  # fmt: skip
        made = compile_constraint or (lambda spec: constraint)
        core = VllmCore(backend, thread, self.tokenizer, made, info, adapters=adapters)
        self.cores.append(core)
        return core

    def request(self, text: str = "def add(a, b):\n", name: str = "r", **sampling: Any) -> Request:
        params = SamplingParams(**{"max_tokens": 20, "temperature": 0.0, **sampling})
        return Request(request_id=name, prompt=tuple(self.tokenizer.encode(text)), sampling=params)

    def run(self, core: VllmCore, *requests: Request) -> dict[str, Result]:
        results = {request.request_id: Result() for request in requests}
        for request in requests:
            for event in core.add(request):
                results[request.request_id].take(event)
        for _ in range(5000):
            if not core.busy:
                break
            for event in core.step():
                results[event.request_id].take(event)
        assert all(result.finish or result.error for result in results.values())
        core.check()
        return results


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_checkpoint(tmp_path_factory.mktemp("vllm") / "model", markers=MARKER_TOKENS)


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put a package of this version in vLLM's place; None: none is installed."""

    def put(version: str | None = "0.32.0+cpu", *, cpu: bool = False) -> None:
        def answer(name: str) -> str:
            if version is None or name != "vllm":
                raise importlib.metadata.PackageNotFoundError(name)
            return version

        monkeypatch.setattr(importlib.metadata, "version", answer)
        for name, module in fake_vllm.modules(cpu=cpu).items():
            monkeypatch.setitem(sys.modules, name, module)

    return put


@pytest.fixture
def fake(checkpoint: Path, install: Callable[..., None]) -> Iterator[Fake]:
    install()
    made = Fake(checkpoint)
    yield made
    for core in made.cores:
        core.close()
