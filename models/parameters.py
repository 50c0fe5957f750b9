"""The decoder's weights: which tensors a configuration calls for, how they are fused and stored. Knows no arithmetic."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dovetail.kernels.ops import DenseWeight, Linear, Storage, pack_weight
from dovetail.models.config import ModelConfig
from dovetail.models.weights import WeightFiles

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class WeightFormat:
    """How weights are held. ``compute``: the type of activations, norms and biases.

    ``storage``: how the matrices are packed for the CPU kernels; None: plain tensors of the compute type.
    """

    compute: torch.dtype
    device: torch.device
    storage: Storage | None

    @property
    def quantized(self) -> bool:
        """Whether weights are rounded to few levels."""
        return self.storage in ("int8", "int4")

    @property
    def name(self) -> str:
        """What one weight is stored as."""
        return self.storage or str(self.compute).removeprefix("torch.")


@dataclass(frozen=True)
class Projection:
    """``weight`` ``[out, in]`` and ``bias`` ``[out]``."""

    weight: Linear
    bias: Tensor | None

    def apply(self, x: Tensor) -> Tensor:
        """``[T, in]`` to ``[T, out]``."""
        return self.weight.apply(x, self.bias)


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
    """The whole decoder. ``head`` is the ``embedding`` itself where the two are tied and stored alike."""

    embedding: Linear
    layers: tuple[LayerParameters, ...]
    final_norm: Tensor
    head: Linear
    count: int
    """Number of parameters, tied ones once."""

    @classmethod
    def read(
        cls,
        config: ModelConfig,
        files: WeightFiles,
        weight_format: WeightFormat,
        report: Callable[[float, str], None],
    ) -> DecoderParameters:
        """Check every name and shape, then read, convert, fuse and pack tensor by tensor."""
        names, shapes = config.family.names, tensor_shapes(config)
        files.check(shapes, lambda name: _harmless(config, name))
        reader = _Reader(config, files, weight_format)
        embedding, head = reader.ends()
        layers = []
        for layer in range(config.num_layers):
            report(layer / config.num_layers, f"reading layer {layer + 1} of {config.num_layers}")
            layers.append(reader.layer(layer))
        count = sum(math.prod(shape) for shape in shapes.values())
        return cls(embedding, tuple(layers), reader.tensor(names.final_norm), head, count)

    @property
    def step_bytes(self) -> int:
        """Bytes that every forward pass reads: all but an embedding that is only looked up."""
        return self.nbytes - (0 if self.head is self.embedding else self.embedding.nbytes)

    @property
    def nbytes(self) -> int:
        """Bytes that all of it takes, tied weights once."""
        weights: list[Linear | Tensor] = [self.embedding, self.final_norm]
        if self.head is not self.embedding:
            weights.append(self.head)
        for layer in self.layers:
            norms = (layer.input_norm, layer.post_attention_norm, layer.query_norm, layer.key_norm)
            weights += [norm for norm in norms if norm is not None]
            for projection in (layer.qkv, layer.output, layer.gate_up, layer.down):
                weights.append(projection.weight)
                if projection.bias is not None:
                    weights.append(projection.bias)
        return sum(weight.nbytes for weight in weights)


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
    """Reads into fresh tensors of the wanted type and place: at most one matrix is held besides, as stored and as float."""

    def __init__(self, config: ModelConfig, files: WeightFiles, weight_format: WeightFormat) -> None:
        self._config, self._files, self._format = config, files, weight_format
        self._shapes = tensor_shapes(config)

    def ends(self) -> tuple[Linear, Linear]:
        """Embedding and head.

        Quantised models look up in bfloat16 (one row per token is read: its size is no cost of decoding) and have the head
        in int8, which all of the vocabulary's probabilities go through.
        """
        names, storage = self._config.family.names, self._format.storage
        embedding = self.tensor(names.embedding)
        table = embedding if self._config.tie_word_embeddings else self.tensor(names.head)
        if self._format.quantized:
            return DenseWeight(embedding.to(torch.bfloat16)), pack_weight(table, "int8")
        head = self._stored(table)
        if table is embedding:
            return head, head
        return DenseWeight(embedding.to(torch.bfloat16) if storage == "bfloat16" else embedding), head

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
            self._stored(self._stack([name + ".weight" for name in names])),
            self._stack([name + ".bias" for name in names]) if biased else None,
        )

    def _stored(self, weight: Tensor) -> Linear:
        return DenseWeight(weight) if self._format.storage is None else pack_weight(weight, self._format.storage)

    def _stack(self, names: Sequence[str]) -> Tensor:
        """The named tensors one below the other."""
        rows = [self._shapes[name][0] for name in names]
        whole = torch.empty(
            (sum(rows), *self._shapes[names[0]][1:]), dtype=self._format.compute, device=self._format.device
        )
        for part, name in zip(torch.split(whole, rows), names, strict=True):
            part.copy_(self._files.tensor(name))
        return whole
