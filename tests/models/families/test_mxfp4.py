"""MXFP4 experts: the bits by hand, transformers' own dequantisation, and a checkpoint in that form against the plain one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForCausalLM, GptOssConfig
from transformers.integrations.mxfp4 import dequantize_convertops

from dovetail.models.errors import ModelDirectoryError
from dovetail.models.loader import load_model
from dovetail.models.mxfp4 import VALUES, dequantise

SHAPE: dict[str, Any] = {
    "vocab_size": 80,
    "hidden_size": 64,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "max_position_embeddings": 64,
    "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
}
QUANTIZATION = {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn"]}


def test_by_hand() -> None:
    blocks = torch.zeros(1, 2, 16, dtype=torch.uint8)
    blocks[0, 0, 0], blocks[0, 1, 15] = 0x71, 0xF9
    values = dequantise(blocks, torch.tensor([[127, 130]], dtype=torch.uint8))
    assert values.shape == (1, 64)
    assert values[0, :2].tolist() == [0.5, 6.0]
    assert values[0, -2:].tolist() == [-0.5 * 8, -6.0 * 8]
    assert values.count_nonzero() == 4


def test_as_transformers_does_it() -> None:
    torch.manual_seed(0)
    blocks = torch.randint(0, 256, (3, 10, 2, 16), dtype=torch.uint8)
    scales = torch.randint(110, 140, (3, 10, 2), dtype=torch.uint8)
    expected = dequantize_convertops(blocks, scales, torch.float32)
    for expert in range(3):
        torch.testing.assert_close(dequantise(blocks[expert], scales[expert]).T, expected[expert], rtol=0, atol=0)


def quantise(weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Blocks, scales and what they stand for, of ``[experts, columns, rows]``."""
    grouped = weight.transpose(1, 2).unflatten(-1, (-1, 32))
    exponent = torch.floor(torch.log2(grouped.abs().amax(-1) / 6)) + 1
    scaled = torch.ldexp(grouped, -exponent.unsqueeze(-1).to(torch.int32))
    codes = (scaled.unsqueeze(-1) - torch.tensor(VALUES)).abs().argmin(-1).to(torch.uint8)
    blocks = codes[..., ::2] | codes[..., 1::2] << 4
    scales = (exponent + 127).to(torch.uint8)
    plain = torch.stack([dequantise(*each).T for each in zip(blocks, scales, strict=True)])
    return blocks.contiguous(), scales, plain.contiguous()


@pytest.fixture(scope="module")
def directories(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same weights plainly, and in MXFP4."""
    plain, small = tmp_path_factory.mktemp("plain"), tmp_path_factory.mktemp("mxfp4")
    torch.manual_seed(1)
    AutoModelForCausalLM.from_config(GptOssConfig(**SHAPE)).save_pretrained(plain)
    tensors = load_file(plain / "model.safetensors")
    stored: dict[str, Tensor] = {}
    for name, tensor in list(tensors.items()):
        if name.endswith(("experts.gate_up_proj", "experts.down_proj")):
            blocks, scales, tensors[name] = quantise(20 * tensor)
            stored |= {name + "_blocks": blocks, name + "_scales": scales}
        else:
            stored[name] = tensor
    save_file(tensors, plain / "model.safetensors", metadata={"format": "pt"})
    save_file(stored, small / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((plain / "config.json").read_text())
    (small / "config.json").write_text(json.dumps({**config, "quantization_config": QUANTIZATION}))
    return plain, small


def test_the_same_logits(directories: tuple[Path, Path], paged_runner: Callable[..., Any]) -> None:
    plain, small = (load_model(directory) for directory in directories)
    assert plain.parameters == small.parameters
    found = [paged_runner(model).step({0: list(range(20))})[0] for model in (plain, small)]
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=0)


def test_blocks_of_another_shape(directories: tuple[Path, Path], tmp_path: Path) -> None:
    directory = shutil.copytree(directories[1], tmp_path / "model")
    tensors = load_file(directory / "model.safetensors")
    name = "model.layers.1.mlp.experts.down_proj_scales"
    tensors[name] = tensors[name][:, :-1].contiguous()
    save_file(tensors, directory / "model.safetensors")
    with pytest.raises(ModelDirectoryError, match=r"down_proj_scales should be U8 \[4, 64, 1\], found U8 \[4, 63, 1\]"):
        load_model(directory)
