"""Sampling: exact distributions, filters by definition, independence of batch mates."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail.serve.engine.native.sampler import (
    Rows,
    penalise,
    sample,
    token_logprob,
    uniform,
)
from dovetail.serve.types import SamplingParams

LOGITS = torch.tensor([[2.0, 1.0, 0.5, -1.0, 3.0]])


def draws(params: SamplingParams, count: int = 4000) -> list[float]:
    """Observed share of each token of LOGITS."""
    rows = Rows([params] * count, [uniform(7, i, 0) for i in range(count)])
    tokens = sample(LOGITS.expand(count, -1), rows)
    return [tokens.count(token) / count for token in range(LOGITS.shape[1])]


def expected(temperature: float, keep: list[int]) -> list[float]:
    scores = torch.full_like(LOGITS[0], -math.inf)
    scores[keep] = LOGITS[0, keep]
    return [float(p) for p in torch.softmax(scores / temperature, -1)]


@pytest.mark.parametrize(
    ("params", "keep"),
    [
        (SamplingParams(max_tokens=1), [0, 1, 2, 3, 4]),
        (SamplingParams(max_tokens=1, temperature=2.5), [0, 1, 2, 3, 4]),
        (SamplingParams(max_tokens=1, top_k=2), [0, 4]),
        (SamplingParams(max_tokens=1, top_p=0.75), [0, 4]),
        (SamplingParams(max_tokens=1, top_p=1e-6), [4]),
        (SamplingParams(max_tokens=1, min_p=0.13), [0, 1, 4]),
        (SamplingParams(max_tokens=1, top_k=3, min_p=0.2), [0, 4]),
    ],
)
def test_shares_follow_the_definition(params: SamplingParams, keep: list[int]) -> None:
    wanted = expected(params.temperature, keep)
    for seen, want in zip(draws(params), wanted, strict=True):
        assert seen == pytest.approx(want, abs=4 * math.sqrt(max(want, 1e-4) / 4000) + 1e-4)
        assert want > 0 or seen == 0


def test_greedy_takes_the_best() -> None:
    assert sample(LOGITS, Rows([SamplingParams(max_tokens=1, temperature=0)], [0.99])) == [4]


@given(st.floats(0, 1, exclude_max=True), st.integers(0, 4))
def test_forbidden_tokens_are_never_drawn(number: float, only: int) -> None:
    scores = torch.full((1, 5), -math.inf)
    scores[0, only] = -3.0
    for params in (SamplingParams(max_tokens=1), SamplingParams(max_tokens=1, top_p=0.5, top_k=3)):
        assert sample(scores, Rows([params], [number])) == [only]


@settings(max_examples=30)
@given(st.integers(0, 2**32), st.integers(1, 12), st.sampled_from([0.9, 1.0]))
def test_a_row_does_not_depend_on_its_batch(seed: int, mates: int, top_p: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(mates + 1, 50, generator=generator)
    params = [SamplingParams(max_tokens=1, temperature=0.7, top_p=top_p)]
    params += [SamplingParams(max_tokens=1, temperature=float(i % 3), top_k=i) for i in range(mates)]
    numbers = [uniform(seed, i, 0) for i in range(mates + 1)]
    alone = sample(logits[:1], Rows(params[:1], numbers[:1]))
    assert sample(logits, Rows(params, numbers))[:1] == alone


def test_uniform_numbers_look_uniform() -> None:
    numbers = [uniform(seed, position, attempt) for seed in range(20) for position in range(50) for attempt in range(3)]
    assert len(set(numbers)) == len(numbers)
    assert min(numbers) >= 0 and max(numbers) < 1
    counts, _ = np.histogram(numbers, bins=10, range=(0, 1))
    assert all(abs(count - 300) < 90 for count in counts)


def test_penalties() -> None:
    row = torch.tensor([1.0, 1.0, -1.0, 1.0])
    params = SamplingParams(
        max_tokens=1,
        presence_penalty=0.5,
        frequency_penalty=0.25,
        repetition_penalty=2.0,
        logit_bias={3: -5.0, 99: 1.0},
    )
    penalise(row, params, prompt=[0], output=[1, 1, 2])
    assert row.tolist() == pytest.approx([0.5, 0.5 - 0.5 - 0.5, -2.0 - 0.75, -4.0])


def test_logprobs_are_of_the_raw_distribution() -> None:
    entry = token_logprob(LOGITS[0], 1, 2)
    want = torch.log_softmax(LOGITS[0], -1)
    assert entry.logprob == pytest.approx(float(want[1]))
    assert [token for token, _ in entry.top] == [4, 0]
