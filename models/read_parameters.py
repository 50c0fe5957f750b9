"""Reads a checkpoint into the decoder's weights: checked, converted, fused and packed tensor by tensor."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from dovetail.kernels.ops import DenseWeight, DeviceWeight, Linear, PackedWeight, Storage, is_gpu, pack_weight, quantise
from dovetail.models.config import ModelConfig
from dovetail.models.mlp import ExpertsMlp, GatedMlp, Mlp, PlainMlp, Projection
from dovetail.models.norms import LayerNorm, Norm, RmsNorm
from dovetail.models.parameters import DecoderParameters, LayerParameters, WeightFormat
from dovetail.models.quantised.grouped import QuantisedSource
from dovetail.models.quantised.kept import packed_as_stored
from dovetail.models.tensors import harmless, tensor_shapes


class TensorSource(Protocol):
    """Tensors by name."""

    def check(self, expected: Mapping[str, tuple[int, ...]], harmless: Callable[[str], bool]) -> None:
        """Refuse what is missing, of another shape, or unknown."""
        ...

    def tensor(self, name: str) -> Tensor:
        """One tensor, in the type it is stored in."""
        ...

    def part(self, name: str, index: int) -> Tensor:
        """``tensor(name)[index]``, without reading the rest."""
        ...


def read_parameters(
    config: ModelConfig, files: TensorSource, weight_format: WeightFormat, report: Callable[[float, str], None]
) -> DecoderParameters:
    """Check every name and shape, then read all of it; ``report`` is told the fraction done and the step."""
    names, shapes = config.family.names, tensor_shapes(config)
    files.check(shapes, lambda name: harmless(config, name))
    reader = _Reader(config, files, weight_format)
    embedding, head = reader.ends()
    positions = reader.tensor(names.positions + ".weight") if names.positions else None
    layers = []
    for layer in range(config.num_layers):
        report(layer / config.num_layers, f"reading layer {layer + 1} of {config.num_layers}")
        layers.append(reader.layer(layer))
    count = sum(math.prod(shape) for shape in shapes.values())
    final_norm = reader.norm(names.final_norm)
    return DecoderParameters(weight_format.compute, embedding, positions, tuple(layers), final_norm, head, count)


class _Reader:
    """Reads into fresh tensors of the wanted type and place: at most one matrix is held besides, as stored and as float."""

    def __init__(self, config: ModelConfig, files: TensorSource, weight_format: WeightFormat) -> None:
        self._config, self._files, self._format = config, files, weight_format
        self._shapes = tensor_shapes(config)
        self._order = _turned_together(config.head_dim, config.rotary_width)

    def ends(self) -> tuple[Linear, Linear]:
        """Embedding and head.

        Quantised models look up in bfloat16 (one row per token is read: its size is no cost of decoding) and have the head
        in int8, which all of the vocabulary's probabilities go through.
        """
        names, storage = self._config.family.names, self._format.storage
        embedding = self.tensor(names.embedding + ".weight")
        table = embedding if self._config.tie_word_embeddings else self.tensor(names.head + ".weight")
        if self._format.quantized:
            return DenseWeight(embedding.to(torch.bfloat16)), self._stored_as(table, "int8")
        head = self._stored(table)
        if table is embedding:
            return head, head
        return DenseWeight(embedding.to(torch.bfloat16) if storage == "bfloat16" else embedding), head

    def layer(self, i: int) -> LayerParameters:
        names, config = self._config.family.names, self._config
        norms = config.qk_norm
        return LayerParameters(
            input_norm=self.norm(names.input_norm, i),
            qkv=self._qkv(i),
            query_norm=self._head_norm(names.query_norm, i) if norms else None,
            key_norm=self._head_norm(names.key_norm, i) if norms else None,
            sinks=self.tensor(names.sinks.format(i=i)) if config.family.sinks else None,
            output=self._projection([names.output.format(i=i)]),
            attention_added_norm=self.norm(names.attention_added_norm, i) if names.attention_added_norm else None,
            post_attention_norm=self.norm(names.post_attention_norm, i),
            mlp=self._experts(i) if config.has_experts(i) else self._mlp(i),
            mlp_added_norm=self.norm(names.mlp_added_norm, i) if names.mlp_added_norm else None,
        )

    def norm(self, name: str, i: int = 0) -> Norm:
        """Offsets are added in float32, in which their weights stay."""
        family, eps, name = self._config.family, self._config.norm_eps, name.format(i=i)
        if family.norm == "layer":
            return LayerNorm(self.tensor(name + ".weight"), self.tensor(name + ".bias"), eps)
        return RmsNorm(self._norm_weight(name), eps)

    def tensor(self, name: str) -> Tensor:
        return self._stack([name])

    def _norm_weight(self, name: str) -> Tensor:
        offset = self._config.family.norm_offset
        if not offset:
            return self.tensor(name + ".weight")
        return self._files.tensor(name + ".weight").to(self._format.device, torch.float32) + offset

    def _head_norm(self, name: str, i: int) -> Tensor:
        weight = self._norm_weight(name.format(i=i))
        return weight if self._order is None else weight[self._order]

    def _qkv(self, i: int) -> Projection:
        """Query, key and value rows; those that are turned together half a head apart."""
        names, config = self._config.family.names, self._config
        parts = [names.qkv] if names.qkv else [names.query, names.key, names.value]
        if self._order is None:
            return self._projection([name.format(i=i) for name in parts])
        weight, bias = self._fused([name.format(i=i) for name in parts])
        heads = config.num_heads + config.num_kv_heads
        starts = torch.arange(heads).unsqueeze(1) * config.head_dim
        rows = torch.cat(((starts + self._order).flatten(), torch.arange(heads * config.head_dim, len(weight))))
        return Projection(self._stored(weight[rows]), None if bias is None else bias[rows])

    def _mlp(self, i: int) -> Mlp:
        names, config = self._config.family.names, self._config
        down = self._projection([names.down.format(i=i)])
        if not config.family.gated:
            return PlainMlp(self._projection([names.up.format(i=i)]), down, config.activation)
        parts = [names.gate_up] if names.gate_up else [names.gate, names.up]
        return GatedMlp(self._projection([name.format(i=i) for name in parts]), down, config.activation)

    def _experts(self, i: int) -> Mlp:
        names, experts = self._config.family.names, self._config.experts
        assert experts is not None
        each = range(experts.count)
        weight, bias = self._fused([names.router.format(i=i)])
        if experts.stacked:
            gate_up = [self._stacked(names.experts_gate_up.format(i=i), e, interleaved=True) for e in each]
            down = [self._stacked(names.experts_down.format(i=i), e, interleaved=False) for e in each]
        else:
            gate_up = [self._expert((names.expert_gate, names.expert_up), i, e) for e in each]
            down = [self._expert((names.expert_down,), i, e) for e in each]
        mlp = ExpertsMlp(
            router=Projection(self._router(weight), bias),
            gate_up=gate_up,
            down=down,
            per_token=experts.per_token,
            normalised=experts.normalised,
            activation=self._config.activation,
            clamp=experts.clamp,
        )
        if is_gpu(self._format.device) and not isinstance(down[0].weight, PackedWeight):
            return mlp.grouped(invariant=self._format.invariant)
        return mlp

    def _router(self, weight: Tensor) -> Linear:
        """Its matrix is small and decides much: it is not quantised."""
        if self._format.storage is None or is_gpu(self._format.device):
            return self._stored_as(weight, None)
        return pack_weight(weight, "float32", invariant=self._format.invariant)

    def _expert(self, names: Iterable[str], i: int, e: int) -> Projection:
        return self._projection([name.format(i=i, e=e) for name in names])

    def _stacked(self, name: str, e: int, *, interleaved: bool) -> Projection:
        """One expert of a tensor with all of them, which has columns first and, interleaved, gate and up taking turns."""
        weight = self._files.part(name, e).to(self._format.device, self._format.compute).T
        bias = None
        if name + "_bias" in self._shapes:
            bias = self._files.part(name + "_bias", e).to(self._format.device, self._format.compute)
        if interleaved:
            weight = torch.cat((weight[::2], weight[1::2]))
            bias = None if bias is None else torch.cat((bias[::2], bias[1::2]))
        return Projection(self._stored(weight.contiguous()), bias)

    def _projection(self, names: Sequence[str]) -> Projection:
        kept = self._as_stored(names)
        if kept is not None:
            biased = names[0] + ".bias" in self._shapes
            return Projection(kept, self._stack([name + ".bias" for name in names]) if biased else None)
        weight, bias = self._fused(names)
        return Projection(self._stored(weight), bias)

    def _as_stored(self, names: Sequence[str]) -> Linear | None:
        """The fused matrix in the bits that its files hold it in, where that is wanted and they are few."""
        if not self._format.as_stored or not isinstance(self._files, QuantisedSource):
            return None
        return packed_as_stored(self._files, [name + ".weight" for name in names], self._format)

    def _fused(self, names: Sequence[str]) -> tuple[Tensor, Tensor | None]:
        biased = names[0] + ".bias" in self._shapes
        weight = self._stack([name + ".weight" for name in names])
        return weight, self._stack([name + ".bias" for name in names]) if biased else None

    def _stored(self, weight: Tensor) -> Linear:
        return self._stored_as(weight, self._format.storage)

    def _stored_as(self, weight: Tensor, storage: Storage | None) -> Linear:
        wanted = self._format
        if storage is None and wanted.invariant and is_gpu(wanted.device):
            return DeviceWeight(None, weight.shape[1], weight, weight.dtype, invariant=True)
        if storage is None:
            return DenseWeight(weight)
        if storage not in ("float32", "bfloat16") and is_gpu(wanted.device):
            return dataclasses.replace(quantise(weight, storage), invariant=wanted.invariant)
        return pack_weight(weight, storage, invariant=wanted.invariant)

    def _stack(self, names: Sequence[str]) -> Tensor:
        """The named tensors one below the other."""
        rows = [self._shapes[name][0] for name in names]
        whole = torch.empty(
            (sum(rows), *self._shapes[names[0]][1:]), dtype=self._format.compute, device=self._format.device
        )
        for part, name in zip(torch.split(whole, rows), names, strict=True):
            part.copy_(self._files.tensor(name))
        return whole


def _turned_together(head_dim: int, width: int) -> Tensor | None:
    """The order of a head's dimensions in which the turned pairs lie half a head apart; None: they do already.

    The kernels turn dimension ``d`` with ``d + head_dim / 2``; a checkpoint that turns only its first ``width`` dimensions has
    the partners ``width / 2`` apart. Scores do not change when queries and keys are reordered alike.
    """
    if width == head_dim:
        return None
    half, rest = width // 2, (head_dim - width) // 2
    every = torch.arange(head_dim)
    return torch.cat((every[:half], every[width : width + rest], every[half:width], every[width + rest :]))
