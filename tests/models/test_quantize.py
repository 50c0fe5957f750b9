"""Weights stored in fewer bits: what is held, what it costs in bytes, and how far the logits move."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
import torch
from tiny import write_tiny_checkpoint
from torch import Tensor

from dovetail.kernels.cpu import library as native
from dovetail.models.errors import ModelDirectoryError
from dovetail.models.loader import LoadedModel, Quantization, load_model
from dovetail.models.mlp import GatedMlp

TOKENS = list(range(5, 35))
"""Few enough for attention in float32 on every processor."""

ROUNDING = {None: 1e-3, "int8": 0.02, "int4": 0.4}
"""How far logits may lie apart for the rounding of activations, by what weights are quantised to."""

FAMILIES = ["llama", "mistral", "qwen2", "qwen3"]


def logits(runner: Callable[[LoadedModel], object], model: LoadedModel) -> Tensor:
    result: Tensor = runner(model).step({0: TOKENS})[0]  # type: ignore[attr-defined]
    return result


def divergence(reference: Tensor, other: Tensor) -> float:
    """Mean KL divergence of next-token distributions, nats."""
    p, q = reference.log_softmax(-1), other.log_softmax(-1)
    return float((p.exp() * (p - q)).sum(-1).mean())


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_distributions_stay_close(
    tmp_path: Path, paged_runner: Callable[[LoadedModel], object], family: str, tied: bool
) -> None:
    directory = write_tiny_checkpoint(tmp_path, family, tie_word_embeddings=tied)
    exact = logits(paged_runner, load_model(directory))
    bounds: dict[Quantization | None, float] = {None: 2e-3, "int8": 5e-3, "int4": 0.6}
    found = {}
    for quantize, bound in bounds.items():
        model = load_model(directory, dtype=torch.bfloat16, quantize=quantize)
        found[quantize] = divergence(exact, logits(paged_runner, model))
        assert 0 < found[quantize] < bound, (quantize, found)
    assert found["int4"] > found["int8"]


def test_decode_and_prefill_agree(
    tiny_directory: Path, paged_runner: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many rows multiply with dequantised weights, few by the kernel that reads them packed: the same weights."""
    for module in ("linear.weight", "decoder_step.native"):
        monkeypatch.setattr(f"dovetail.kernels.{module}.KERNEL_ROWS", 16)
    quantizations: tuple[Quantization, ...] = ("int8", "int4")
    for quantize in quantizations:
        model = load_model(tiny_directory, quantize=quantize)
        at_once = paged_runner(model).step({0: TOKENS})[0]  # type: ignore[attr-defined]
        runner = paged_runner(model)
        one_by_one = torch.cat([runner.step({0: [token]})[0] for token in TOKENS])  # type: ignore[attr-defined]
        torch.testing.assert_close(at_once, one_by_one, atol=ROUNDING[quantize], rtol=1e-3)


@pytest.mark.parametrize("quantize", [None, "int8", "int4"])
def test_long_prompts(tiny_directory: Path, paged_runner: Callable[..., object], quantize: Quantization | None) -> None:
    """Prompts of more than 32, and more than 256 tokens, where a processor with tiles computes with bfloat16."""
    for count in (40, 300):
        tokens = [token % 512 for token in range(7, 7 + count)]
        exact, stored = load_model(tiny_directory), load_model(tiny_directory, dtype=torch.bfloat16, quantize=quantize)
        found = [
            paged_runner(model, num_blocks=80).step({0: tokens})[0]  # type: ignore[attr-defined]
            for model in (exact, stored)
        ]
        assert divergence(*found) < (0.6 if quantize == "int4" else 6e-3)


@pytest.mark.parametrize("tied", [False, True])
def test_the_same_without_the_native_library(
    tmp_path: Path,
    paged_runner: Callable[[LoadedModel], object],
    monkeypatch: pytest.MonkeyPatch,
    tied: bool,
) -> None:
    directory = write_tiny_checkpoint(tmp_path, "qwen3", tie_word_embeddings=tied)
    forms: list[tuple[torch.dtype, Quantization | None]] = [
        (torch.float32, None),
        (torch.bfloat16, None),
        (torch.float32, "int8"),
        (torch.float32, "int4"),
    ]
    with_kernels = [logits(paged_runner, load_model(directory, dtype=d, quantize=q)) for d, q in forms]
    monkeypatch.setattr(native, "PATH", Path("/nowhere"))
    native.library.cache_clear()
    try:
        without = [logits(paged_runner, load_model(directory, dtype=d, quantize=q)) for d, q in forms]
    finally:
        monkeypatch.undo()
        native.library.cache_clear()
    for stored, (here, there) in zip(forms, zip(with_kernels, without, strict=True), strict=True):
        torch.testing.assert_close(here, there, atol=ROUNDING[stored[1]], rtol=1e-3)


def test_bytes(tmp_path: Path) -> None:
    directory = write_tiny_checkpoint(tmp_path, hidden=256, vocab_size=1024, tie_word_embeddings=True)
    exact = load_model(directory)
    assert exact.weight_bytes == 4 * exact.parameters
    assert exact.storage == "float32"
    half = load_model(directory, dtype=torch.bfloat16)
    small = 4 * (exact.parameters - sum(_matrices(exact)))  # norms and biases stay float32
    assert half.weight_bytes == 2 * sum(_matrices(exact)) + small
    embedding, layers = 1024 * 256, sum(_matrices(exact)) - 1024 * 256
    int8, int4 = load_model(directory, quantize="int8"), load_model(directory, quantize="int4")
    scaled = 1 + 4 / 128
    assert int8.weight_bytes == embedding * (2 + scaled) + layers * scaled + small
    assert int4.weight_bytes == embedding * (2 + scaled) + layers * (0.5 + 4 / 32) + small
    assert (half.storage, int8.storage, int4.storage) == ("bfloat16", "int8", "int4")
    for model in (half, int8, int4):
        assert model.parameters == exact.parameters
        assert model.decoder.dtype == torch.float32


def _matrices(model: LoadedModel) -> list[int]:
    parameters = model.decoder._parameters
    weights = [parameters.embedding]
    for layer in parameters.layers:
        assert isinstance(layer.mlp, GatedMlp)
        weights += [p.weight for p in (layer.qkv, layer.output, layer.mlp.gate_up, layer.mlp.down)]
    return [weight.shape[0] * weight.shape[1] for weight in weights]


@pytest.mark.parametrize(
    ("stored", "expected"), [(torch.float32, "float32"), (torch.bfloat16, "bfloat16"), (torch.float16, "float32")]
)
def test_auto_keeps_what_is_stored(
    tmp_path: Path, paged_runner: Callable[[LoadedModel], object], stored: torch.dtype, expected: str
) -> None:
    directory = write_tiny_checkpoint(tmp_path, dtype=stored)
    auto, exact = load_model(directory, dtype="auto"), load_model(directory)
    assert auto.storage == expected
    torch.testing.assert_close(logits(paged_runner, auto), logits(paged_runner, exact), atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("quantize", ["int8", "int4"])
def test_quantised_elsewhere_is_refused(tiny_directory: Path, quantize: Literal["int8", "int4"]) -> None:
    with pytest.raises(ModelDirectoryError, match=f"{quantize} weights on meta need Triton"):
        load_model(tiny_directory, quantize=quantize, device="meta")


def test_8_bit_floats_are_not_for_a_cpu(tiny_directory: Path) -> None:
    with pytest.raises(ModelDirectoryError, match=r"fp8 weights are for GPUs.*use --quantize int8"):
        load_model(tiny_directory, quantize="fp8")
