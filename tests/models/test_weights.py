"""Every way a model directory's weights can be wrong, and what the error says."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import write_tiny_checkpoint
from torch import Tensor

from dovetail.models.errors import ModelDirectoryError
from dovetail.models.loader import load_model

INDEX = "model.safetensors.index.json"


@pytest.fixture
def directory(tiny_directory: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_directory, tmp_path / "model"))


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    return write_tiny_checkpoint(tmp_path / "sharded", sharded=True)


def change(directory: Path, edit: Callable[[dict[str, Tensor]], object]) -> None:
    """Rewrite model.safetensors after ``edit``."""
    tensors = load_file(directory / "model.safetensors")
    edit(tensors)
    save_file(tensors, directory / "model.safetensors")


def fails(directory: Path, *says: str) -> None:
    with pytest.raises(ModelDirectoryError) as caught:
        load_model(directory)
    for words in says:
        assert words in str(caught.value)


def test_sharded_and_single_are_the_same_model(directory: Path, sharded: Path) -> None:
    single, split = load_model(directory), load_model(sharded)
    assert single.parameters == split.parameters
    assert len(list(sharded.glob("*.safetensors"))) == 3


def test_size_counts_tied_weights_once(tmp_path: Path) -> None:
    untied = load_model(write_tiny_checkpoint(tmp_path / "a"), dtype=torch.bfloat16)
    tied = load_model(write_tiny_checkpoint(tmp_path / "b", tie_word_embeddings=True), dtype=torch.bfloat16)
    assert untied.parameters - tied.parameters == 512 * 64
    assert 2 * untied.parameters < untied.weight_bytes < 2.02 * untied.parameters  # norms and biases are float32
    assert untied.decoder.dtype == torch.float32  # on the CPU bfloat16 is for storage


def test_progress_rises_to_one(directory: Path) -> None:
    seen: list[tuple[float, str]] = []
    load_model(directory, progress=lambda fraction, step: seen.append((fraction, step)))
    fractions = [fraction for fraction, _ in seen]
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0.0, 1.0)
    assert "reading layer 2 of 2" in [step for _, step in seen]


def test_half_precision_files_are_converted(tmp_path: Path) -> None:
    stored = load_model(write_tiny_checkpoint(tmp_path, dtype=torch.bfloat16))
    assert stored.decoder.dtype == torch.float32


def test_missing_directory(tmp_path: Path) -> None:
    fails(tmp_path / "nowhere", "nowhere: not a directory")


def test_missing_config(directory: Path) -> None:
    (directory / "config.json").unlink()
    fails(directory, "config.json: file not found")


def test_damaged_config(directory: Path) -> None:
    (directory / "config.json").write_text('{"architectures": [')
    fails(directory, "config.json: cannot be read as JSON")


def test_missing_weights(directory: Path) -> None:
    (directory / "model.safetensors").unlink()
    fails(directory, "no weights; expected model.safetensors")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "consolidated.00.pth", "model.pt"])
def test_pickle_only(directory: Path, name: str) -> None:
    (directory / "model.safetensors").rename(directory / name)
    fails(directory, "only pickled weights", name, "convert them to safetensors")


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_truncated_file(directory: Path, keep: int) -> None:
    path = directory / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    fails(directory, "model.safetensors: truncated or damaged")


def test_missing_shard(sharded: Path) -> None:
    (sharded / "model-00002-of-00003.safetensors").unlink()
    fails(sharded, INDEX, "1 shard of 3 missing: model-00002-of-00003.safetensors")


def test_truncated_shard(sharded: Path) -> None:
    path = sharded / "model-00003-of-00003.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    fails(sharded, "model-00003-of-00003.safetensors: truncated")


def test_missing_tensors_are_named(directory: Path) -> None:
    change(directory, lambda tensors: tensors.pop("model.layers.1.self_attn.k_proj.bias"))
    fails(directory, "1 tensor missing: model.layers.1.self_attn.k_proj.bias")


def test_fewer_layers_than_configured(directory: Path) -> None:
    path = directory / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "num_hidden_layers": 4}))
    fails(directory, "24 tensors missing: model.layers.2.input_layernorm.weight", "and 16 more")


def test_unexpected_shape(directory: Path) -> None:
    change(directory, lambda tensors: tensors.update({"model.norm.weight": torch.ones(63)}))
    fails(directory, "model.norm.weight has shape [63], expected [64]")


def test_unexpected_type(directory: Path) -> None:
    name = "model.layers.0.mlp.up_proj.weight"
    change(directory, lambda tensors: tensors.update({name: tensors[name].to(torch.int8)}))
    fails(directory, f"{name} is I8", "supported: F64, F32, F16, BF16")


def test_extra_tensors_are_named(directory: Path) -> None:
    change(directory, lambda tensors: tensors.update({"model.layers.0.mlp.experts.0.weight": torch.ones(1)}))
    fails(directory, "1 tensor that this architecture does not have: model.layers.0.mlp.experts.0.weight")


def test_an_extra_layer_is_not_ignored(directory: Path) -> None:
    path = directory / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "num_hidden_layers": 1}))
    fails(directory, "12 tensors that this architecture does not have: model.layers.1.")


def test_harmless_extras_are_accepted(tmp_path: Path) -> None:
    directory = write_tiny_checkpoint(tmp_path, tie_word_embeddings=True)
    extras = {
        "model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(8),
        "lm_head.weight": torch.zeros(512, 64),
    }
    change(directory, lambda tensors: tensors.update(extras))
    model = load_model(directory)
    assert model.config.tie_word_embeddings


def test_index_names_an_absent_tensor(sharded: Path) -> None:
    index = json.loads((sharded / INDEX).read_text())
    index["weight_map"]["model.layers.0.mlp.gate_proj.weight"] = "model-00002-of-00003.safetensors"
    (sharded / INDEX).write_text(json.dumps(index))
    fails(
        sharded, INDEX, "model.layers.0.mlp.gate_proj.weight should be in model-00002-of-00003.safetensors but is not"
    )


def test_the_same_tensor_twice(sharded: Path) -> None:
    path = sharded / "model-00002-of-00003.safetensors"
    save_file({**load_file(path), "model.norm.weight": torch.ones(64)}, path)
    fails(sharded, "model.norm.weight is also in", "stale")


@pytest.mark.parametrize("shard", ["../elsewhere.safetensors", "/etc/passwd"])
def test_index_may_not_leave_the_directory(sharded: Path, shard: str) -> None:
    (sharded / INDEX).write_text(json.dumps({"weight_map": {"model.norm.weight": shard}}))
    fails(sharded, "not a plain file name")


def test_index_without_a_map(sharded: Path) -> None:
    (sharded / INDEX).write_text("{}")
    fails(sharded, "weight_map is missing")
