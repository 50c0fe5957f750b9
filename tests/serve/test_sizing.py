"""Sizes derived from the machine: enough for one sequence, never more than is useful."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from dovetail.models.batch import KVCache
from dovetail.models.config import ModelConfig
from dovetail.models.random_checkpoint import write_random_checkpoint
from dovetail.models.tensors import parameters
from dovetail.serve import sizing
from dovetail.serve.config.server import ServerConfig
from dovetail.serve.config.settings import ConfigError
from dovetail.serve.errors import ModelError
from dovetail.serve.hosting import worker_config
from dovetail.serve.sizing import Gpu, available_memory, plan_sizes, usable_gpu


@dataclass(frozen=True)
class Shape:
    max_position_embeddings: int = 4096
    num_layers: int = 4
    kv_size: int = 64


BYTES_PER_TOKEN = 2 * 4 * 64 * 4


@given(st.integers(1, 2**33), st.integers(16, 10**6), st.integers(1, 256))
def test_what_is_planned_fits_and_serves_one_sequence(available: int, positions: int, sequences: int) -> None:
    shape = Shape(max_position_embeddings=positions)
    config = ServerConfig(max_num_seqs=sequences, max_batched_tokens=4096)
    try:
        sizes = plan_sizes(config, shape, available=available)
    except ModelError:
        assert available * 0.25 < BYTES_PER_TOKEN * (256 + config.block_size)
        return
    assert sizes.kv_blocks * config.block_size >= sizes.max_model_len
    assert sizes.max_model_len <= positions
    assert sizes.kv_blocks * config.block_size * BYTES_PER_TOKEN <= available * 0.25
    assert sizes.kv_blocks <= sequences * -(-positions // config.block_size)


def test_what_is_planned_is_what_the_cache_takes(tmp_path: Path) -> None:
    model = ModelConfig.load(write_random_checkpoint(tmp_path / "model"))
    config = ServerConfig(kv_cache_memory=2**20)
    cache = KVCache.allocate(model, num_blocks=1, block_size=config.block_size)
    taken = sum(tensor.nbytes for tensor in (*cache.keys, *cache.values))
    assert plan_sizes(config, model).kv_blocks == 2**20 // taken


def test_little_memory_shortens_the_context() -> None:
    sizes = plan_sizes(ServerConfig(kv_cache_memory=2**20), Shape())
    assert sizes.max_model_len == 2**20 // BYTES_PER_TOKEN
    assert plan_sizes(ServerConfig(kv_cache_memory=2**30), Shape()).max_model_len == 4096


def test_what_was_asked_for_and_cannot_be_had_is_refused() -> None:
    with pytest.raises(ModelError, match="made for 4096 positions"):
        plan_sizes(ServerConfig(max_model_len=5000), Shape())
    with pytest.raises(ModelError, match="raise --kv-cache-memory"):
        plan_sizes(ServerConfig(max_model_len=4096, kv_cache_memory=2**20), Shape())


def test_half_precision_needs_half_where_it_is_computed_in() -> None:
    full = plan_sizes(ServerConfig(kv_cache_memory=2**20, device="cuda", dtype="float32"), Shape())
    half = plan_sizes(ServerConfig(kv_cache_memory=2**20, device="cuda", dtype="bfloat16"), Shape())
    cpu = plan_sizes(ServerConfig(kv_cache_memory=2**20, dtype="bfloat16"), Shape())
    assert (full.device, cpu.device) == ("cuda", "cpu")
    assert half.kv_blocks == 2 * full.kv_blocks
    assert cpu.kv_blocks == full.kv_blocks


def test_this_machine_has_memory() -> None:
    assert available_memory() > 2**28


@dataclass(frozen=True)
class Weights:
    parameters: int
    nbytes: int


def test_weights_that_do_not_fit_are_refused_with_what_would() -> None:
    seven_billion = Weights(7_000_000_000, 14_000_000_000)
    with pytest.raises(ModelError, match=r"take 14.0 GB and 8.0 GB .* use --quantize int4"):
        plan_sizes(ServerConfig(), Shape(), seven_billion, available=8_000_000_000)
    with pytest.raises(ModelError, match="smaller model"):
        plan_sizes(ServerConfig(), Shape(), seven_billion, available=2_000_000_000)
    assert plan_sizes(ServerConfig(quantize="int4"), Shape(), seven_billion, available=8_000_000_000).kv_blocks


def test_the_cache_leaves_room_for_the_weights() -> None:
    shape = Shape(max_position_embeddings=10**6)
    alone = plan_sizes(ServerConfig(), shape, available=10**9)
    beside = plan_sizes(ServerConfig(), shape, Weights(450_000_000, 900_000_000), available=10**9)
    assert beside.kv_blocks * 16 * BYTES_PER_TOKEN <= 0.1 * 10**9 < alone.kv_blocks * 16 * BYTES_PER_TOKEN


def test_mxfp4_weights_take_what_they_become(tmp_path: Path) -> None:
    """Half a byte a weight in the file, two bytes in memory: a machine for the file alone is told so at once."""
    experts = {"num_local_experts": 4, "num_experts_per_tok": 2}
    directory = write_random_checkpoint(tmp_path, family="gpt-oss", config=experts)
    values = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps({**values, "quantization_config": {"quant_method": "mxfp4"}}))
    tensors = load_file(directory / "model.safetensors")
    for name in [name for name in tensors if name.endswith(("gate_up_proj", "down_proj"))]:
        count, columns, rows = tensors.pop(name).shape
        tensors[name + "_blocks"] = torch.zeros(count, rows, columns // 32, 16, dtype=torch.uint8)
        tensors[name + "_scales"] = torch.zeros(count, rows, columns // 32, dtype=torch.uint8)
    save_file(tensors, directory / "model.safetensors")
    needed = 2 * parameters(ModelConfig.load(directory))
    worker_config(ServerConfig(model=directory), 4 * needed)
    with pytest.raises(ModelError, match="the weights take"):
        worker_config(ServerConfig(model=directory), needed - 1)


def test_a_gpu_is_asked_how_much_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ModelError, match=r"use --device cpu, or.*with --kv-cache-memory"):
        plan_sizes(ServerConfig(device="cuda"), Shape())
    tool.write_text("#!/bin/sh\necho '1024, 9.0'\n")
    tool.chmod(0o755)
    weights, shape = Weights(10**8, 2 * 10**8), Shape(max_position_embeddings=10**6)
    wide = plan_sizes(ServerConfig(device="cuda"), shape, weights)
    narrow = plan_sizes(ServerConfig(device="cuda", kv_cache_dtype="fp8"), shape, weights)
    assert (
        wide.kv_blocks * 16 * BYTES_PER_TOKEN // 2 <= 0.8 * (2**30 - 2 * 10**8)
        and narrow.kv_blocks == 2 * wide.kv_blocks
    )
    with pytest.raises(ModelError, match="weights take"):
        plan_sizes(ServerConfig(device="cuda"), shape, Weights(10**9, 2 * 10**9))


@pytest.mark.parametrize(
    ("free", "found"), [(None, "cpu"), (3 * 2**30, "cpu"), (4 * 2**30, "cpu"), (6 * 2**30, "cuda")]
)
def test_auto_is_a_gpu_with_room_for_the_model(free: int | None, found: str) -> None:
    weights = Weights(10**9, 3 * 10**9)
    gpu = None if free is None else Gpu(free, (9, 0))
    sizes = plan_sizes(ServerConfig(), Shape(), weights, available=8 * 10**9, probe=lambda: gpu)
    assert sizes.device == found
    assert plan_sizes(ServerConfig(device="cpu"), Shape(), weights, 8 * 10**9, probe=lambda: gpu).device == "cpu"


def test_auto_asks_for_torch_and_triton_and_a_gpu_that_is_new_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool, version = tmp_path / "nvidia-smi", tmp_path / "version.py"
    tool.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    there = {
        "torch": ModuleSpec("torch", None, origin=str(tmp_path / "__init__.py")),
        "triton": ModuleSpec("triton", None),
    }
    monkeypatch.setattr(sizing, "find_spec", there.get)

    def usable(driver: str, torch_for: str) -> bool:
        tool.write_text(f"#!/bin/sh\necho '{driver}'\n")
        version.write_text(f"debug = False\ncuda: Optional[str] = {torch_for}\ngit_version = '1'\n")
        return usable_gpu() is not None

    assert usable("1024, 9.0", "'13.0'") and usable("1024, 8.0", "'12.8'")
    assert not usable("1024, 7.5", "'13.0'"), "too old"
    assert not usable("1024, 9.0", "None"), "torch for the CPU"
    assert not usable("NVIDIA-SMI has failed", "'13.0'")
    del there["triton"]
    assert not usable("1024, 9.0", "'13.0'")


@pytest.mark.parametrize("setting", ["kv_cache_dtype", "quantize"])
def test_8_bit_floats_are_for_a_gpu(setting: str) -> None:
    with pytest.raises(ConfigError, match=f"{setting}.* fp8 is for --device cuda"):
        ServerConfig(device="cpu", **{setting: "fp8"})  # type: ignore[arg-type]
    config = ServerConfig(**{setting: "fp8"})  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="fp8 is for a GPU"):
        plan_sizes(config, Shape(), available=10**9, probe=lambda: None)
    assert plan_sizes(config, Shape(), available=10**10, probe=lambda: Gpu(10**10, (9, 0))).device == "cuda"
