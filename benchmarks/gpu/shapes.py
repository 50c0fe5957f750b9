"""Published models' shapes with random weights, made where they are computed with: no file, no download."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from dovetail.kernels.ops import Storage
from dovetail.models.config import ModelConfig
from dovetail.models.decoder import Decoder
from dovetail.models.loader import LoadedModel
from dovetail.models.parameters import WeightFormat
from dovetail.models.read_parameters import read_parameters
from dovetail.models.tensors import tensor_shapes


def _dense(
    hidden: int, layers: int, heads: int, kv_heads: int, inner: int, vocab: int, *, tied: bool
) -> dict[str, Any]:
    return {
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "intermediate_size": inner,
        "vocab_size": vocab,
        "tie_word_embeddings": tied,
        "max_position_embeddings": 32768,
        "rope_theta": 1000000.0,
        "hidden_act": "silu",
    }


def _experts(hidden: int, layers: int, heads: int, kv_heads: int, inner: int, experts: int, chosen: int, vocab: int) -> dict[str, Any]:  # fmt: skip
    return {
        **_dense(hidden, layers, heads, kv_heads, inner, vocab, tied=False),
        "architectures": ["Qwen3MoeForCausalLM"],
        "model_type": "qwen3_moe",
        "head_dim": 128 if hidden > 512 else 16,
        "moe_intermediate_size": inner,
        "num_experts": experts,
        "num_experts_per_tok": chosen,
        "norm_topk_prob": True,
        "decoder_sparse_step": 1,
        "mlp_only_layers": [],
    }


SHAPES: dict[str, dict[str, Any]] = {
    "tiny": _dense(64, 2, 4, 2, 128, 4096, tied=True),
    "tiny-experts": _experts(64, 2, 4, 2, 32, 4, 2, 4096),
    "0.5b": _dense(896, 24, 14, 2, 4864, 151936, tied=True),
    "7b": _dense(3584, 28, 28, 4, 18944, 152064, tied=False),
    "30b-a3b": _experts(2048, 48, 32, 4, 768, 128, 8, 151936),
}


class RandomTensors:
    """Stands where a checkpoint's files would: every tensor is drawn when it is asked for."""

    def __init__(self, config: ModelConfig, device: torch.device, dtype: torch.dtype) -> None:
        self._shapes = tensor_shapes(config)
        self._device, self._dtype = device, dtype
        self._generator = torch.Generator(device).manual_seed(0)

    def check(self, expected: Mapping[str, tuple[int, ...]], harmless: Callable[[str], bool]) -> None:
        """There is nothing to compare with."""

    def tensor(self, name: str) -> Tensor:
        """Ones for norms, zeros for biases, normal numbers for matrices."""
        shape = self._shapes[name]
        if len(shape) == 1:
            return torch.full(shape, float("norm" in name), dtype=self._dtype, device=self._device)
        drawn = torch.randn(shape, generator=self._generator, device=self._device, dtype=torch.float32)
        return (drawn / math.sqrt(shape[-1])).to(self._dtype)

    def part(self, name: str, index: int) -> Tensor:
        """One of a tensor of many."""
        return self.tensor(name)[index]


def random_model(
    shape: str,
    device: torch.device,
    dtype: torch.dtype,
    *,
    deterministic: bool = False,
    storage: Storage | None = None,
) -> LoadedModel:
    """A decoder of that shape on the device; ``storage``: its matrices in few bits."""
    config = ModelConfig.parse(SHAPES[shape], shape)
    source = RandomTensors(config, device, dtype)
    weights = WeightFormat(dtype, device, storage, None, deterministic)
    parameters = read_parameters(config, source, weights, lambda fraction, step: None)
    decoder = Decoder(config, parameters, deterministic=deterministic)
    return LoadedModel(config, decoder, parameters.count, parameters.nbytes, parameters.step_bytes, weights.name)
