"""Deterministic mode on the CPU: a request's tokens and log probabilities are the same bits whatever shares its batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch

from dovetail.kernels.cpu import library as native
from dovetail.models.errors import ModelDirectoryError
from dovetail.models.loader import Quantization, load_model
from dovetail.models.random_checkpoint import write_random_checkpoint
from dovetail.models.tokenizer import Tokenizer
from dovetail.serve.constrain.base import Constraint
from dovetail.serve.engine.native.loop import NativeEngine, NativeSettings
from dovetail.serve.types import Request, SamplingParams

Run = Callable[[NativeEngine, Iterable[Request]], dict[str, Any]]


def make_request(number: int, length: int) -> Request:
    prompt = tuple((11 * i + 29 * number) % 400 + 3 for i in range(length))
    sampling = SamplingParams(max_tokens=6, temperature=0.9, seed=number, logprobs=1, ignore_eos=True)
    return Request(request_id=str(number), prompt=prompt, sampling=sampling)


@pytest.mark.skipif(native.library() is None, reason="the C++ kernels are not built")
@pytest.mark.parametrize("windows", [False, True])
@pytest.mark.parametrize(
    ("dtype", "quantize"),
    [(torch.float32, None), (torch.bfloat16, None), (torch.float32, "int8"), (torch.float32, "int4")],
)
def test_the_same_bits_in_any_batch(
    tmp_path: Path, run: Run, dtype: torch.dtype, quantize: Quantization | None, windows: bool
) -> None:
    config = {"use_sliding_window": True, "sliding_window": 70, "max_window_layers": 0} if windows else {}
    directory = write_random_checkpoint(tmp_path / "model", config=config)
    model = load_model(directory, dtype=dtype, quantize=quantize, deterministic=True)
    tokenizer = Tokenizer.load(directory)
    requests = [make_request(number, length) for number, length in enumerate([150, 3, 40, 300])]

    def no_constraint(spec: object) -> Constraint:
        raise AssertionError

    def answers(tokens: int, wanted: list[Request]) -> dict[str, Any]:
        settings = NativeSettings(
            512, 200, 4, max_num_seqs=4, max_batched_tokens=tokens, max_draft=4, eager_drafts=True
        )
        found = run(NativeEngine(model, tokenizer, settings, no_constraint), wanted)
        return {name: (result.tokens, [each.logprob for each in result.logprobs]) for name, result in found.items()}

    together = answers(512, requests)
    assert answers(37, requests) == together, "other chunks of prompts"
    for request in requests:
        assert answers(512, [request])[request.request_id] == together[request.request_id], "alone"


def test_without_kernels_it_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "PATH", Path("/nowhere"))
    native.library.cache_clear()
    directory = write_random_checkpoint(tmp_path / "model")
    with pytest.raises(ModelDirectoryError, match="leave --deterministic out"):
        load_model(directory, deterministic=True)
    monkeypatch.undo()
    native.library.cache_clear()
