"""The whole engine on the Triton kernels, interpreted: the same tokens as on the CPU's kernels, eagerly and by captured steps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import write_tiny_checkpoint

from dovetail.kernels import gpu
from dovetail.models.batch import KVCache
from dovetail.models.config import ModelConfig
from dovetail.models.decoder import Decoder
from dovetail.models.loader import LoadedModel
from dovetail.models.parameters import WeightFormat
from dovetail.models.read_parameters import read_parameters
from dovetail.models.tokenizer import Tokenizer
from dovetail.models.weights import WeightFiles
from dovetail.serve.constrain.base import Constraint
from dovetail.serve.engine.native.graphs import DecodeGraphs, GraphLimits
from dovetail.serve.engine.native.loop import NativeEngine, NativeSettings
from dovetail.serve.types import Event, FinishEvent, Request, SamplingParams, TokensEvent

pytestmark = [pytest.mark.triton, pytest.mark.timeout(600)]


def load(directory: Path, *, deterministic: bool = False) -> LoadedModel:
    """Plain float32 tensors, as on a GPU."""
    config = ModelConfig.load(directory)
    weight_format = WeightFormat(torch.float32, torch.device("cpu"), None, deterministic)
    with WeightFiles(directory) as files:
        parameters = read_parameters(config, files, weight_format, lambda fraction, step: None)
    decoder = Decoder(config, parameters, deterministic=deterministic)
    return LoadedModel(config, decoder, parameters.count, parameters.nbytes, parameters.step_bytes, "float32")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_checkpoint(tmp_path_factory.mktemp("tiny"), layers=1, hidden=32)


def run(directory: Path, requests: list[Request], *, captured: bool = False, **options: Any) -> dict[str, list[int]]:
    """Every request's tokens."""
    model, tokenizer = load(directory, **options), Tokenizer.load(directory)
    settings = NativeSettings(256, 80, 8, max_num_seqs=4, max_draft=3, eager_drafts=True)

    def compile_constraint(spec: object) -> Constraint:
        raise AssertionError

    engine = NativeEngine(model, tokenizer, settings, compile_constraint)
    if captured:
        runner = engine._runner
        runner.cache = KVCache.allocate(model.config, 81, 8)
        runner._graphs = DecodeGraphs(model.decoder, runner.cache, GraphLimits(4, 3, 256), lambda run: run)
    events: list[Event] = []
    for request in requests:
        events += engine.add(request)
    while engine.busy:
        events += engine.step()
    found: dict[str, list[int]] = {}
    for event in events:
        assert isinstance(event, TokensEvent | FinishEvent)
        if isinstance(event, TokensEvent):
            found.setdefault(event.request_id, []).extend(event.tokens)
    return found


def requests(directory: Path) -> list[Request]:
    tokenizer = Tokenizer.load(directory)
    wanted: dict[str, dict[str, Any]] = {
        "greedy": {"temperature": 0.0, "min_tokens": 4},
        "penalised": {"temperature": 0.0, "presence_penalty": 0.5, "frequency_penalty": 0.3, "repetition_penalty": 1.3},
        "biased": {"temperature": 0.0, "logit_bias": {5: 2.0, 7: -3.0}},
        "one of one": {"temperature": 1.0, "top_k": 1, "seed": 3},
    }
    return [
        Request(
            request_id=name,
            prompt=tuple(tokenizer.encode("def add(a, b):\n    return a + b\n" * (1 + i))),
            sampling=SamplingParams(max_tokens=4, **params),
        )
        for i, (name, params) in enumerate(wanted.items())
    ]


def test_the_same_tokens_as_on_the_cpu(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [run(directory, requests(directory)), run(directory, requests(directory), captured=True)]
    monkeypatch.setattr(gpu, "INTERPRETED", False)
    wanted = run(directory, requests(directory))
    assert found == [wanted, wanted]


def test_steps_that_fit_no_graph(directory: Path) -> None:
    model = load(directory)
    cache = KVCache.allocate(model.config, 9, 8)
    made: list[Callable[[], torch.Tensor]] = []

    def capture(run: Callable[[], torch.Tensor]) -> Callable[[], torch.Tensor]:
        made.append(run)
        return run

    graphs = DecodeGraphs(model.decoder, cache, GraphLimits(3, 3, 64), capture)
    assert graphs.captured == [(size, width) for size in (1, 2, 3) for width in (1, 2, 4)] and len(made) == 9
    assert graphs._fitting(2, 3) == (2, 4) and graphs._fitting(1, 5) is None and graphs._fitting(4, 1) is None


def test_deterministic_tokens_whatever_shares_the_batch(directory: Path) -> None:
    every = [Request(request_id=r.request_id, prompt=r.prompt, sampling=SamplingParams(max_tokens=3, temperature=1.0, seed=5))
             for r in requests(directory)]  # fmt: skip
    together = run(directory, every, deterministic=True)
    for request in every[1:2]:
        assert run(directory, [request], deterministic=True) == {request.request_id: together[request.request_id]}
