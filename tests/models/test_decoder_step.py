"""The one call over all layers against the same layers one operator at a time: logits and caches, by every instruction set."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import write_tiny_checkpoint

from dovetail.kernels.cpu import library as native
from dovetail.models.loader import Quantization, load_model

VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "biases": ("llama", {"config": {"attention_bias": True, "mlp_bias": True}}),
    "window from layer 1": (
        "qwen2",
        {"config": {"use_sliding_window": True, "sliding_window": 6, "max_window_layers": 1}},
    ),
    "query and key norms": ("qwen3", {"tie_word_embeddings": True}),
    "heads of 32": ("mistral", {"head_dim": 32}),
    "factors": (
        "granite",
        {"config": {"residual_multiplier": 0.3, "embedding_multiplier": 2.0, "logits_scaling": 4.0}},
    ),
    "a layer that turns nothing": ("smollm3", {"config": {"no_rope_layers": [1, 0]}}),
    "turned in part": ("phi3", {"config": {"partial_rotary_factor": 0.5}}),
}
FORMS: list[tuple[torch.dtype, Quantization | None]] = [
    (torch.float32, None),
    (torch.bfloat16, None),
    (torch.float32, "int8"),
    (torch.float32, "int4"),
]
STEPS: list[dict[int, int]] = [
    {0: 5, 1: 1},
    {0: 1, 1: 1, 2: 40},
    {0: 3, 2: 1, 3: 2},
    {1: 34, 3: 280},
    {0: 1, 1: 1, 3: 1},
]
"""New tokens of each sequence in each step."""


@pytest.fixture(params=native.INSTRUCTION_SETS)
def instruction_set(request: pytest.FixtureRequest) -> Iterator[str]:
    if native.library() is None:
        pytest.skip("the native library is not built")
    if native.limit_instruction_set(request.param) != request.param:
        pytest.skip(f"this processor has no {request.param}")
    yield request.param
    native.limit_instruction_set(native.INSTRUCTION_SETS[-1])


@pytest.mark.parametrize("variant", VARIANTS)
def test_agrees_with_the_operators(
    tmp_path: Path, paged_runner: Callable[..., Any], instruction_set: str, variant: str
) -> None:
    family, shape = VARIANTS[variant]
    directory = write_tiny_checkpoint(tmp_path, family, **shape)
    for dtype, quantize in FORMS:
        runners = []
        for by_step in (True, False):
            model = load_model(directory, dtype=dtype, quantize=quantize)
            assert model.decoder._step is not None
            if not by_step:
                model.decoder._step = None
            runners.append(paged_runner(model, num_blocks=120))
        for number, step in enumerate(STEPS):
            chunks = {s: [(7 * i + s + number) % 512 for i in range(count)] for s, count in step.items()}
            found = [runner.step(chunks) for runner in runners]
            for sequence in chunks:
                torch.testing.assert_close(found[0][sequence], found[1][sequence], atol=1e-4, rtol=1e-4)
        for one, other in zip(runners[0].cache.keys, runners[1].cache.keys, strict=True):
            torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4, equal_nan=True)


def test_some_rows_or_none(tiny_directory: Path, paged_runner: Callable[..., Any]) -> None:
    """Rows without logits leave their keys and values behind all the same."""
    model = load_model(tiny_directory)
    whole = paged_runner(model).step({0: [1, 2, 3, 4]})[0]
    runner = paged_runner(model)
    runner.step({0: [1, 2, 3]}, wanted=[])
    torch.testing.assert_close(runner.step({0: [4]})[0], whole[3:], atol=1e-5, rtol=1e-5)
