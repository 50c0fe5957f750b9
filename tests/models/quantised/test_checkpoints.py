"""FP8, AWQ, GPTQ and compressed-tensors checkpoints against the numbers that they stand for; and packing what is in 4 bits."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from tiny import write_tiny_checkpoint

from dovetail.kernels.linear.device import DeviceWeight, store_groups, unpack
from dovetail.kernels.linear.grouped import pack_groups
from dovetail.kernels.moe.stored import StoredExperts
from dovetail.models import read_parameters
from dovetail.models.errors import ModelDirectoryError
from dovetail.models.loader import load_model
from dovetail.models.mlp import GroupedExpertsMlp
from dovetail.models.quantised import kept
from dovetail.models.quantised.grouped import Grouped

sys.path.insert(0, str(Path(__file__).parent))

import quantisers

TOKENS = [7, 300, 41, 5, 9, 260, 33]
TENSORS = {"quant_method": "compressed-tensors", "config_groups": {"group_0": {"weights": {"strategy": "group"}}}}
BLOCKS = {"group_0": {"weights": {"strategy": "block", "block_structure": [48, 32]}}}
KINDS: dict[str, tuple[dict[str, Any], Any, str]] = {
    "awq": (
        {"quant_method": "awq", "bits": 4, "group_size": 32, "version": "gemm"},
        partial(quantisers.awq, group=32),
        "int4",
    ),
    "gptq": ({"quant_method": "gptq", "bits": 4, "group_size": 64}, partial(quantisers.gptq, group=64), "int4"),
    "gptq, act order": (
        {"quant_method": "gptq", "bits": 4, "group_size": 32, "desc_act": True},
        partial(quantisers.gptq, group=32, shuffled=True),
        "int4",
    ),
    "gptq, one group, version 2": (
        {"quant_method": "gptq", "bits": 4, "group_size": -1, "checkpoint_format": "gptq_v2"},
        partial(quantisers.gptq, group=-1, version=2),
        "int4",
    ),
    "gptq, 8 bits": (
        {"quant_method": "gptq", "bits": 8, "group_size": 32},
        partial(quantisers.gptq, group=32, bits=8),
        "int8",
    ),
    "packed": (TENSORS, partial(quantisers.packed, group=32, symmetric=True), "int4"),
    "packed, zero points": (TENSORS, partial(quantisers.packed, group=64, symmetric=False), "int4"),
    "fp8, one scale": ({"quant_method": "fp8"}, partial(quantisers.fp8, kind="tensor"), "int8"),
    "fp8, by row": (TENSORS, partial(quantisers.fp8, kind="channel"), "int8"),
    "fp8, blocks": (
        {"quant_method": "fp8", "weight_block_size": [48, 32]},
        partial(quantisers.fp8, kind="block"),
        "int8",
    ),
    "fp8, blocks of compressed-tensors": (
        {"quant_method": "compressed-tensors", "config_groups": BLOCKS},
        partial(quantisers.fp8, kind="block"),
        "int8",
    ),
    "int8": (TENSORS, quantisers.int8, "int8"),
}


def logits(model: Any, paged_runner: Callable[..., Any]) -> torch.Tensor:
    return paged_runner(model).step({0: TOKENS})[0]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_checkpoint(tmp_path_factory.mktemp("plain") / "checkpoint", "qwen2", layers=1)


@pytest.mark.parametrize("kind", KINDS)
def test_the_model_is_the_same(checkpoint: Path, tmp_path: Path, kind: str, paged_runner: Callable[..., Any]) -> None:
    config, store, stored = KINDS[kind]
    directory = quantisers.quantised(tmp_path / "quantised", checkpoint, config, store, tmp_path / "reference")
    wanted = logits(load_model(tmp_path / "reference"), paged_runner)
    torch.testing.assert_close(logits(load_model(directory), paged_runner), wanted, atol=2e-4, rtol=1e-4)
    model = load_model(directory, dtype="auto")
    assert model.storage == stored
    likeness = torch.nn.functional.cosine_similarity(logits(model, paged_runner), wanted).min()
    assert likeness > (0.999 if "order" not in kind and "one group" not in kind else 0.98), likeness


@given(
    rows=st.integers(1, 70),
    columns=st.integers(1, 200),
    group=st.sampled_from([32, 64, 128]),
    seed=st.integers(0, 99),
)
def test_packed_values_come_out_as_they_went_in(rows: int, columns: int, group: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    groups = -(-columns // group)
    values = torch.randint(0, 16, (rows, columns), generator=generator, dtype=torch.uint8)
    scale, offset = (torch.randn(rows, groups, generator=generator).bfloat16().float() for _ in range(2))
    weight = pack_groups(values, scale, offset, group)
    wanted = Grouped(values, scale, offset, group).dequantised()
    torch.testing.assert_close(weight.rows(torch.arange(rows)), wanted, atol=1e-6, rtol=1e-5)
    x = torch.randn(3, columns, generator=generator)
    terms = Grouped(values, scale.abs(), offset.abs(), group).dequantised()
    lengths = x.norm(dim=1, keepdim=True) * terms.norm(dim=1)
    assert bool(((weight.apply(x) - x @ wanted.T).abs() <= 0.02 * lengths).all()), "some processors round x to bfloat16"


@given(
    rows=st.integers(1, 70),
    columns=st.integers(1, 300),
    group=st.sampled_from([32, 64, 128]),
    seed=st.integers(0, 99),
)
def test_values_for_a_gpu_come_out_as_they_went_in(rows: int, columns: int, group: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randint(0, 16, (rows, columns), generator=generator, dtype=torch.uint8)
    scale, offset = (torch.randn(rows, -(-columns // group), generator=generator) for _ in range(2))
    weight = store_groups(values, scale, offset, group, torch.float32)
    torch.testing.assert_close(unpack(weight), Grouped(values, scale, offset, group).dequantised())


@pytest.fixture
def for_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights are held as on a GPU; what is computed with them is the reference."""
    for module in (kept, read_parameters):
        monkeypatch.setattr(module, "is_gpu", lambda device: True)


@pytest.mark.usefixtures("for_a_gpu")
@pytest.mark.parametrize("kind", ["awq", "gptq", "packed, zero points", "fp8, by row"])
def test_a_gpu_keeps_the_bits_of_the_files(
    checkpoint: Path, tmp_path: Path, kind: str, paged_runner: Callable[..., Any]
) -> None:
    config, store, stored = KINDS[kind]
    directory = quantisers.quantised(tmp_path / "quantised", checkpoint, config, store, tmp_path / "reference")
    wanted = logits(load_model(tmp_path / "reference"), paged_runner)
    model = load_model(directory, dtype="auto")
    layer = model.decoder.weights.layers[0]
    assert isinstance(layer.qkv.weight, DeviceWeight) and layer.qkv.weight.storage == stored
    likeness = torch.nn.functional.cosine_similarity(logits(model, paged_runner), wanted).min()
    assert likeness > 0.999, likeness


@pytest.mark.usefixtures("for_a_gpu")
@pytest.mark.parametrize(("quantize", "least"), [("int8", 0.999), ("int4", 0.97)])
def test_experts_for_a_gpu_are_held_in_few_bits(
    tmp_path: Path, quantize: Any, least: float, paged_runner: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = write_tiny_checkpoint(tmp_path / "experts", "qwen3-moe", layers=1)
    model = load_model(directory, quantize=quantize)
    layer = model.decoder.weights.layers[0].mlp
    assert isinstance(layer, GroupedExpertsMlp) and isinstance(layer.experts.down, StoredExperts)
    with monkeypatch.context() as plain:
        plain.setattr(read_parameters, "is_gpu", lambda device: False)
        wanted = logits(load_model(directory), paged_runner)
    likeness = torch.nn.functional.cosine_similarity(logits(model, paged_runner), wanted).min()
    assert likeness > least, likeness


@pytest.mark.parametrize(
    ("config", "drop", "said"),
    [
        ({"bits": 3}, "", "GPTQ weights of 3 bits are not supported"),
        ({"group_size": 0}, "", "group_size 0 is no length"),
        ({"group_size": 128}, "", r"scales is of shape \[2, 64\], expected \[1, 64\]|qzeros is of shape"),
        ({}, "model.layers.0.self_attn.k_proj.scales", "k_proj: scales is missing"),
        ({"quant_method": "awq"}, "", "q_proj: qweight is of shape"),
        ({"quant_method": "bitsandbytes"}, "", r"quantised weights \(bitsandbytes\) are not supported"),
    ],
)
def test_what_does_not_fit_is_named(checkpoint: Path, tmp_path: Path, config: Any, drop: str, said: str) -> None:
    own = {"quant_method": "gptq", "bits": 4, "group_size": 32}
    store = partial(quantisers.gptq, group=32)
    directory = quantisers.quantised(tmp_path / "quantised", checkpoint, own, store, tmp_path / "reference")
    tensors = load_file(directory / "model.safetensors")
    tensors.pop(drop, None)
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
    values = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps({**values, "quantization_config": {**own, **config}}))
    with pytest.raises(ModelDirectoryError, match=said):
        load_model(directory)


def test_a_bias_that_is_something_is_not_left_out(checkpoint: Path, tmp_path: Path) -> None:
    config, store, _ = KINDS["gptq"]
    directory = quantisers.quantised(tmp_path / "quantised", checkpoint, config, store, tmp_path / "reference")
    tensors = load_file(directory / "model.safetensors")
    tensors["model.layers.0.mlp.down_proj.bias"][3] = 1
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelDirectoryError, match=r"down_proj\.bias"):
        load_model(directory)
