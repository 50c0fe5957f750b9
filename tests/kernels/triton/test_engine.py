"""The whole engine on the Triton kernels, interpreted: the same tokens as on the CPU's kernels, eagerly and by captured steps, with
steps that begin before the one before them is known, and with drafts that branch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
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
from dovetail.serve.constrain.base import Branch, Constraint, Draft, Retreat
from dovetail.serve.engine.native.fork import Run
from dovetail.serve.engine.native.graphs import DecodeGraphs, GraphLimits
from dovetail.serve.engine.native.loop import NativeEngine, NativeSettings
from dovetail.serve.engine.native.sequence import Sequence as EngineSequence
from dovetail.serve.types import Event, FinishEvent, GrammarSpec, Request, SamplingParams, TokensEvent

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


def make_engine(
    directory: Path,
    *,
    captured: bool = False,
    kind: type[NativeEngine] = NativeEngine,
    drafts: bool = True,
    **options: Any,
) -> NativeEngine:
    model, tokenizer = load(directory, **options), Tokenizer.load(directory)
    settings = NativeSettings(256, 80, 8, max_num_seqs=4, max_draft=3, eager_drafts=drafts)

    def compile_constraint(spec: object) -> Constraint:
        assert isinstance(spec, GrammarSpec)
        return Even(spec.source == "refuse")

    engine = kind(model, tokenizer, settings, compile_constraint)
    if captured:
        runner = engine._runner
        runner.cache = KVCache.allocate(model.config, 81, 8)
        for each in (*runner.cache.keys, *runner.cache.values):
            each.zero_()
        runner._graphs = DecodeGraphs(model.decoder, runner.cache, GraphLimits(4, 3, 256), lambda run: run)
    return engine


def drive(engine: NativeEngine, requests: list[Request]) -> dict[str, list[int]]:
    """Every request's tokens."""
    events: list[Event] = []
    for request in requests:
        events += engine.add(request)
    while engine.busy:
        events += engine.step()
        engine.check()
    found: dict[str, list[int]] = {}
    for event in events:
        assert isinstance(event, TokensEvent | FinishEvent), event
        if isinstance(event, TokensEvent):
            found.setdefault(event.request_id, []).extend(event.tokens)
    return found


def run(directory: Path, requests: list[Request], **options: Any) -> dict[str, list[int]]:
    return drive(make_engine(directory, **options), requests)


class Even:
    """Allows even tokens; ``refuses``: its mask allows more, so that draws are refused and made again."""

    def __init__(self, refuses: bool) -> None:
        self._refuses = refuses

    def allows(self, token: int) -> bool:
        return token % 2 == 0

    def mask_into(self, words: np.ndarray[Any, Any]) -> bool:
        words.fill(-1 if self._refuses else 0x55555555)
        return True

    def advance(self, token: int) -> Constraint:
        return self

    def draft(self, limit: int) -> Draft:
        return Draft(())

    def admits(self, tokens: Sequence[int]) -> int:
        return next((at for at, token in enumerate(tokens) if token % 2), len(tokens))

    def may_end(self) -> bool:
        return False

    def retreat(self) -> Retreat | None:
        return None

    def settled(self) -> int | None:
        return None


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


def ahead_of(wanted: dict[str, list[int]]) -> type[NativeEngine]:
    """An engine whose drafts are wrong at first and right in branches."""

    class Foresight(NativeEngine):
        def _propose(self, sequence: EngineSequence, limit: int) -> Draft:
            known = wanted[sequence.request.request_id][sequence.generated :]
            if limit < 3 or len(known) < 3:
                return Draft(())
            wrong = (known[0] + 1) % self._vocab_size
            return Draft([wrong], branches=[Branch(-1, known[:1]), Branch(1, known[1:2])])

    return Foresight


def many(directory: Path, **params: Any) -> list[Request]:
    """Of several lengths: some end while the step after is under way."""
    text = Tokenizer.load(directory).encode("def add(a, b):\n    return a + b\n")
    wanted = {"temperature": 0.0, "ignore_eos": True} | params
    return [Request(request_id=f"r{i}", prompt=tuple(text[i:]), sampling=SamplingParams(max_tokens=5 + 3 * i, **wanted)) for i in range(3)]  # fmt: skip


def test_branches_are_replayed(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(gpu, "INTERPRETED", False)
        wanted = run(directory, many(directory), drafts=False)
    for captured in (True, False):
        engine = make_engine(directory, captured=captured, kind=ahead_of(wanted))
        sizes = counted(engine, monkeypatch) if captured else []
        assert drive(engine, many(directory)) == wanted
        assert not captured or max(sizes) > 3, "branches are runs of their own"


def counted(engine: NativeEngine, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many runs the captured steps have, as they are replayed."""
    graphs, sizes = engine._runner._graphs, []
    assert graphs is not None and graphs.branching_runs == 32
    replay = graphs.run

    def run(runs: Sequence[Run], tokens: torch.Tensor | None = None) -> torch.Tensor | None:
        sizes.append(len(runs))
        return replay(runs, tokens)

    monkeypatch.setattr(graphs, "run", run)
    return sizes


def test_the_coming_step_begins_before_the_host_knows_the_tokens(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With logprobs, a constraint, and draws that are refused, whose rows of the step under way are for nothing."""
    requests = [
        *many(directory, logprobs=2),
        *(
            msgspec.structs.replace(each, request_id=source, constraint=GrammarSpec(kind="regex", source=source))
            for each, source in zip(many(directory), ("mask", "refuse"), strict=False)
        ),
    ]
    with monkeypatch.context() as patched:
        patched.setattr(gpu, "INTERPRETED", False)
        wanted = run(directory, requests, drafts=False)
    engine = make_engine(directory, captured=True, drafts=False)
    waits: list[gpu.Fetched] = []
    wait = gpu.Fetched.rows.func
    counting = cached_property(lambda fetched: waits.append(fetched) or wait(fetched))
    counting.__set_name__(gpu.Fetched, "rows")
    monkeypatch.setattr(gpu.Fetched, "rows", counting)
    assert drive(engine, requests) == wanted
    assert engine._ahead.begun >= 5
    assert len(waits) == engine.stats().steps, "a step waits for its device once"
    assert all(token % 2 == 0 for token in wanted["refuse"])


def test_steps_that_fit_no_graph(directory: Path) -> None:
    model = load(directory)
    cache = KVCache.allocate(model.config, 9, 8)
    made: list[Callable[[], torch.Tensor]] = []

    def capture(run: Callable[[], torch.Tensor]) -> Callable[[], torch.Tensor]:
        made.append(run)
        return run

    graphs = DecodeGraphs(model.decoder, cache, GraphLimits(3, 3, 64), capture)
    plain = [size for size in graphs.captured if not size.branches]
    assert plain == [(size, width, False) for size in (1, 2, 3) for width in (1, 2, 4)]
    assert len(made) == len(graphs.captured)
    assert graphs._fitting(2, 3, 0) == (2, 4, False) and graphs._fitting(1, 5, 0) is None
    assert graphs._fitting(4, 1, 0) is None and graphs._fitting(4, 1, 9) == (4, 1, True)
    assert graphs._fitting(2, 2, 33) == (4, 2, True), "more slots to copy than two runs have room for"


def test_deterministic_tokens_whatever_shares_the_batch(directory: Path) -> None:
    every = [Request(request_id=r.request_id, prompt=r.prompt, sampling=SamplingParams(max_tokens=3, temperature=1.0, seed=5))
             for r in requests(directory)]  # fmt: skip
    together = run(directory, every, deterministic=True)
    for request in every[1:2]:
        assert run(directory, [request], deterministic=True) == {request.request_id: together[request.request_id]}
