"""The decoder's weights: which tensors a configuration calls for, and how they are fused. Knows no arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dovetail.models.config import ModelConfig
from dovetail.models.weights import WeightFiles

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Projection:
    """``weight`` ``[out, in]`` and ``bias`` ``[out]``."""

    weight: Tensor
    bias: Tensor | None


@dataclass(frozen=True)
class LayerParameters:
    """One layer. ``qkv`` holds query, key and value rows in that order; ``gate_up`` gate rows, then up rows."""

    input_norm: Tensor
    qkv: Projection
    query_norm: Tensor | None
    key_norm: Tensor | None
    output: Projection
    post_attention_norm: Tensor
    gate_up: Projection
    down: Projection


@dataclass(frozen=True)
class DecoderParameters:
    """The whole decoder. ``head`` is the ``embedding`` itself where the two are tied."""

    embedding: Tensor
    layers: tuple[LayerParameters, ...]
    final_norm: Tensor
    head: Tensor

    @classmethod
    def read(
        cls,
        config: ModelConfig,
        files: WeightFiles,
        dtype: torch.dtype,
        device: torch.device,
        report: Callable[[float, str], None],
    ) -> DecoderParameters:
        """Check every name and shape, then read, convert and fuse tensor by tensor."""
        names = config.family.names
        files.check(tensor_shapes(config), lambda name: _harmless(config, name))
        reader = _Reader(config, files, dtype, device)
        embedding = reader.tensor(names.embedding)
        layers = []
        for layer in range(config.num_layers):
            report(layer / config.num_layers, f"reading layer {layer + 1} of {config.num_layers}")
            layers.append(reader.layer(layer))
        head = embedding if config.tie_word_embeddings else reader.tensor(names.head)
        return cls(embedding, tuple(layers), reader.tensor(names.final_norm), head)

    def tensors(self) -> list[Tensor]:
        """Every tensor once."""
        found = [self.embedding, self.final_norm]
        if self.head is not self.embedding:
            found.append(self.head)
        for layer in self.layers:
            norms = (layer.input_norm, layer.post_attention_norm, layer.query_norm, layer.key_norm)
            projections = (layer.qkv, layer.output, layer.gate_up, layer.down)
            found += [tensor for tensor in norms if tensor is not None]
            found += [tensor for p in projections for tensor in (p.weight, p.bias) if tensor is not None]
        return found

    def count(self) -> int:
        """Number of parameters, tied ones once."""
        return sum(tensor.numel() for tensor in self.tensors())


def tensor_shapes(config: ModelConfig) -> Shapes:
    """Name and shape of every tensor that a checkpoint of this configuration holds."""
    names, hidden, inner = config.family.names, config.hidden_size, config.intermediate_size
    shapes: Shapes = {names.embedding: (config.vocab_size, hidden), names.final_norm: (hidden,)}
    if not config.tie_word_embeddings:
        shapes[names.head] = (config.vocab_size, hidden)
    projections = (
        (names.query, config.query_size, hidden, config.qkv_bias),
        (names.key, config.kv_size, hidden, config.qkv_bias),
        (names.value, config.kv_size, hidden, config.qkv_bias),
        (names.output, hidden, config.query_size, config.output_bias),
        (names.gate, inner, hidden, config.mlp_bias),
        (names.up, inner, hidden, config.mlp_bias),
        (names.down, hidden, inner, config.mlp_bias),
    )
    for i in range(config.num_layers):
        shapes[names.input_norm.format(i=i)] = (hidden,)
        shapes[names.post_attention_norm.format(i=i)] = (hidden,)
        if config.qk_norm:
            shapes[names.query_norm.format(i=i)] = (config.head_dim,)
            shapes[names.key_norm.format(i=i)] = (config.head_dim,)
        for name, out_size, in_size, bias in projections:
            shapes[name.format(i=i) + ".weight"] = (out_size, in_size)
            if bias:
                shapes[name.format(i=i) + ".bias"] = (out_size,)
    return shapes


def _harmless(config: ModelConfig, name: str) -> bool:
    """Tensors that old checkpoints hold beside their weights: rotary frequencies, and a copy of a tied head."""
    return name.endswith(".rotary_emb.inv_freq") or (config.tie_word_embeddings and name == config.family.names.head)


class _Reader:
    """Reads into fresh tensors of the wanted type and place: at most one stored tensor is held besides."""

    def __init__(self, config: ModelConfig, files: WeightFiles, dtype: torch.dtype, device: torch.device) -> None:
        self._config, self._files, self._dtype, self._device = config, files, dtype, device
        self._shapes = tensor_shapes(config)

    def layer(self, i: int) -> LayerParameters:
        names, norms = self._config.family.names, self._config.qk_norm
        return LayerParameters(
            input_norm=self.tensor(names.input_norm.format(i=i)),
            qkv=self._projection([name.format(i=i) for name in (names.query, names.key, names.value)]),
            query_norm=self.tensor(names.query_norm.format(i=i)) if norms else None,
            key_norm=self.tensor(names.key_norm.format(i=i)) if norms else None,
            output=self._projection([names.output.format(i=i)]),
            post_attention_norm=self.tensor(names.post_attention_norm.format(i=i)),
            gate_up=self._projection([name.format(i=i) for name in (names.gate, names.up)]),
            down=self._projection([names.down.format(i=i)]),
        )

    def tensor(self, name: str) -> Tensor:
        return self._stack([name])

    def _projection(self, names: Sequence[str]) -> Projection:
        biased = names[0] + ".bias" in self._shapes
        return Projection(
            self._stack([name + ".weight" for name in names]),
            self._stack([name + ".bias" for name in names]) if biased else None,
        )

    def _stack(self, names: Sequence[str]) -> Tensor:
        """The named tensors one below the other."""
        rows = [self._shapes[name][0] for name in names]
        whole = torch.empty((sum(rows), *self._shapes[names[0]][1:]), dtype=self._dtype, device=self._device)
        for part, name in zip(torch.split(whole, rows), names, strict=True):
            part.copy_(self._files.tensor(name))
        return whole
