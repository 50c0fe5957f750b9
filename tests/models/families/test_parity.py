"""Every family against transformers, logit for logit: prompts, decoding, drafts, ragged batches, cached prefixes."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from cases import CASES, configuration
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

from dovetail.models.loader import LoadedModel, load_model

TOLERANCE = 1e-4
LENGTHS = (40, 23, 9, 31)


@dataclass(frozen=True)
class Case:
    """A model as we load it, some sequences, and transformers' logits for them, ``[len, vocab]`` each."""

    model: LoadedModel
    tokens: list[list[int]]
    wanted: list[Tensor]

    def check(self, sequence: int, first: int, logits: Tensor) -> None:
        """Rows of a sequence from ``first`` on."""
        expected = self.wanted[sequence][first : first + len(logits)]
        torch.testing.assert_close(logits, expected, atol=TOLERANCE, rtol=TOLERANCE)


@torch.no_grad()
def write(case: str, directory: Path) -> Callable[[list[int]], Tensor]:
    """Save a random checkpoint of ``case``; returns its logits by transformers."""
    torch.manual_seed(1)
    config = configuration(case)
    kind = AutoModelForImageTextToText if hasattr(config, "vision_config") else AutoModelForCausalLM
    model = kind.from_config(config, dtype=torch.float32).eval()
    for name, parameter in model.named_parameters():
        if parameter.dim() == 1:
            parameter.add_(0.2 * torch.randn_like(parameter))
        elif "embed" not in name and "wte" not in name:
            parameter.normal_(std=1.5 / parameter.shape[-1] ** 0.5)
        else:
            parameter.normal_(std=0.5)
    model.save_pretrained(directory)

    def logits(tokens: list[int]) -> Tensor:
        with torch.no_grad():
            found: Tensor = model(torch.tensor([tokens]), use_cache=False).logits[0]
        return found

    return logits


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    directory = tmp_path_factory.mktemp("family")
    reference = write(request.param, directory)
    draw = random.Random(1)
    tokens = [[draw.randrange(96) for _ in range(length)] for length in LENGTHS]
    served = 64 if request.param.endswith("short") else None
    if ("long" in request.param and served is None) or "in part" in request.param:
        tokens = [each for each in tokens if len(each) > 16]  # of shorter ones, transformers takes other angles
    return Case(load_model(directory, max_model_len=served), tokens, [reference(each) for each in tokens])


def test_prompt(case: Case, paged_runner: Callable[..., Any]) -> None:
    case.check(0, 0, paged_runner(case.model).step({0: case.tokens[0]})[0])
    spread = case.wanted[0].std(dim=0).mean()
    assert float(spread) > 0.05, "logits that hardly change prove little"


def test_decoding(case: Case, paged_runner: Callable[..., Any]) -> None:
    runner, tokens = paged_runner(case.model), case.tokens[1]
    for position, token in enumerate(tokens):
        case.check(1, position, runner.step({0: [token]})[0])


def test_a_rejected_draft_leaves_no_trace(case: Case, paged_runner: Callable[..., Any]) -> None:
    runner, tokens = paged_runner(case.model), case.tokens[1]
    runner.step({0: tokens[:10]})
    wrong = [(token + 1) % 96 for token in tokens[12:15]]
    case.check(1, 10, runner.step({0: [*tokens[10:12], *wrong]})[0][:2])
    runner.rewind(0, 12)
    case.check(1, 12, runner.step({0: tokens[12:17]})[0])


def test_ragged_batches(case: Case, paged_runner: Callable[..., Any]) -> None:
    runner, draw = paged_runner(case.model, block_size=3, seed=2), random.Random(3)
    done = [0] * len(case.tokens)
    while any(at < len(tokens) for at, tokens in zip(done, case.tokens, strict=True)):
        sizes = [draw.choice((0, 1, 1, 4, 11, 33)) for _ in done]
        chunks = {s: case.tokens[s][done[s] : done[s] + size] for s, size in enumerate(sizes) if size}
        chunks = {s: chunk for s, chunk in chunks.items() if chunk}
        for s, logits in (runner.step(chunks) if chunks else {}).items():
            case.check(s, done[s], logits)
            done[s] += len(logits)


def test_a_cached_prefix(case: Case, paged_runner: Callable[..., Any]) -> None:
    runner, tokens = paged_runner(case.model, block_size=4), case.tokens[0]
    runner.step({0: tokens[:22]})
    runner.share(0, 1, 20)
    case.check(0, 20, runner.step({1: tokens[20:], 2: case.tokens[1]})[1])
