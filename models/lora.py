"""LoRA adapters of a PEFT directory: read, checked against the model, and added to its projections row by row.

Knows files, matrices and which rows belong to whom; nothing of requests. (LoRA: Hu et al., 2021.)
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from dovetail.kernels.ops import Linear
from dovetail.models.config import ModelConfig
from dovetail.models.decoder import Decoder
from dovetail.models.errors import ModelDirectoryError
from dovetail.models.fields import Fields, read_json
from dovetail.models.mlp import GatedMlp, PlainMlp, Projection
from dovetail.models.parameters import DecoderParameters, LayerParameters

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
_PREFIX = "base_model.model."
_MUST_BE: Mapping[str, tuple[object, ...]] = {
    "peft_type": ("LORA",),
    "bias": ("none", None),
    "fan_in_fan_out": (False, None),
    "use_dora": (False, None),
    "modules_to_save": (None, []),
    "trainable_token_indices": (None, []),
    "target_parameters": (None, []),
}
"""Settings of PEFT, and what they have to be for an adapter that is nothing but pairs of matrices."""

Slot = tuple[int, str]
"""A layer, and one of its projections: qkv, output, gate_up (or up alone), down."""


@dataclass(frozen=True)
class Part:
    """What an adapter adds to the outputs ``first`` to ``end`` of a projection: ``up @ (down @ x)``; the scale is in ``up``."""

    first: int
    end: int
    down: Tensor
    up: Tensor


@dataclass(frozen=True, eq=False)
class Adapter:
    """One adapter, loaded."""

    parts: Mapping[Slot, tuple[Part, ...]]
    rank: int
    nbytes: int
    number: int = field(default_factory=itertools.count().__next__)
    """Another one whenever an adapter is loaded: what was computed with one is never taken for another's."""

    @classmethod
    def load(cls, directory: Path, decoder: Decoder) -> Adapter:
        """Read the adapter in ``directory`` for this model.

        Raises:
            ModelDirectoryError: it is no PEFT adapter, of a kind that is not supported, or does not fit the model.
        """
        values = read_json(directory / CONFIG)
        fields = Fields(values, str(directory / CONFIG))
        for name, allowed in _MUST_BE.items():
            if values.get(name) not in allowed:
                raise ModelDirectoryError(
                    f"{fields.where}: {name} {values.get(name)!r} is not supported; supported: {allowed[0]!r}"
                )
        if decoder.config.rotary_width != decoder.config.head_dim:
            raise ModelDirectoryError(
                f"{fields.where}: adapters of {decoder.config.architecture} are not supported, which turns a part of each head"
            )
        tensors = _read(directory / WEIGHTS)
        places = _places(decoder.config)
        parts: dict[Slot, list[Part]] = {}
        for module in sorted({name.rpartition(".lora_")[0] for name in tensors}):
            if module.removeprefix(_PREFIX) not in places:
                raise ModelDirectoryError(
                    f"{directory / WEIGHTS}: {module} is no projection of this model that adapters are added to"
                )
            slot, first, out_size, in_size = places[module.removeprefix(_PREFIX)]
            down = tensors.pop(f"{module}.lora_A.weight", torch.empty(0))
            up = tensors.pop(f"{module}.lora_B.weight", torch.empty(0))
            if down.dim() != 2 or down.shape[1] != in_size or up.shape != (out_size, down.shape[0]):
                raise ModelDirectoryError(
                    f"{directory / WEIGHTS}: {module} has matrices {list(down.shape)} and {list(up.shape)}, expected "
                    f"[rank, {in_size}] and [{out_size}, rank]; was the adapter made for another model?"
                )
            scaled = up.to(torch.float32) * _scale(fields, module.removeprefix(_PREFIX), down.shape[0])
            placed = (each.to(decoder.device, decoder.dtype).contiguous() for each in (down, scaled))
            parts.setdefault(slot, []).append(Part(first, first + out_size, *placed))
        if tensors or not parts:
            odd = ", ".join(sorted(tensors)[:4]) or "nothing"
            raise ModelDirectoryError(f"{directory / WEIGHTS}: holds {odd}; expected pairs of lora_A and lora_B")
        every = [part for each in parts.values() for part in each]
        nbytes = sum(part.down.nbytes + part.up.nbytes for part in every)
        frozen = {slot: tuple(each) for slot, each in parts.items()}
        return cls(frozen, max(part.down.shape[0] for part in every), nbytes)


class AdaptedDecoder:
    """A decoder whose projections add, for some rows of a batch, what an adapter says."""

    def __init__(self, decoder: Decoder) -> None:
        self._rows = _Rows()
        layers = tuple(_adapted(index, layer, self._rows) for index, layer in enumerate(decoder.weights.layers))
        weights: DecoderParameters = dataclasses.replace(decoder.weights, layers=layers)
        self._decoder = Decoder(decoder.config, weights, decoder.length, deterministic=decoder.deterministic)

    def over(self, adapters: Sequence[tuple[int, Adapter | None]]) -> Decoder:
        """The decoder for a batch of which so many rows, in order, are each adapter's."""
        spans: list[tuple[int, int, Adapter]] = []
        start = 0
        for count, adapter in adapters:
            end = start + count
            if adapter is not None and spans and spans[-1][1:] == (start, adapter):
                spans[-1] = (spans[-1][0], end, adapter)
            elif adapter is not None:
                spans.append((start, end, adapter))
            start = end
        self._rows.spans = spans
        return self._decoder


class _Rows:
    """Which rows of the batch at hand are whose."""

    def __init__(self) -> None:
        self.spans: list[tuple[int, int, Adapter]] = []


@dataclass(frozen=True)
class _AdaptedWeight:
    """A weight matrix, and what adapters add to it. Implements kernels/linear/weight.py's Linear."""

    base: Linear
    slot: Slot
    whose: _Rows

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.base.shape

    @property
    def nbytes(self) -> int:
        """Of the matrix alone."""
        return self.base.nbytes

    @property
    def exact(self) -> bool:
        """As the matrix is."""
        return self.base.exact

    def apply(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """``[M, columns]`` to ``[M, rows]``."""
        out = self.base.apply(x, bias)
        for start, end, adapter in self.whose.spans:
            for part in adapter.parts.get(self.slot, ()):
                out[start:end, part.first : part.end] += (x[start:end] @ part.down.T) @ part.up.T
        return out

    def rows(self, index: Tensor) -> Tensor:
        """The rows of the matrix."""
        return self.base.rows(index)


def _adapted(index: int, layer: LayerParameters, whose: _Rows) -> LayerParameters:
    def adapted(name: str, projection: Projection) -> Projection:
        return Projection(_AdaptedWeight(projection.weight, (index, name), whose), projection.bias)

    mlp = layer.mlp
    if isinstance(mlp, GatedMlp):
        gate_up, down = adapted("gate_up", mlp.gate_up), adapted("down", mlp.down)
        mlp = dataclasses.replace(mlp, gate_up=gate_up, down=down)
    elif isinstance(mlp, PlainMlp):
        mlp = dataclasses.replace(mlp, up=adapted("gate_up", mlp.up), down=adapted("down", mlp.down))
    return dataclasses.replace(layer, qkv=adapted("qkv", layer.qkv), output=adapted("output", layer.output), mlp=mlp)


def _places(config: ModelConfig) -> dict[str, tuple[Slot, int, int, int]]:
    """By the name of a projection in the checkpoint: where it lies, its first output there, and its sizes."""
    names, hidden, inner = config.family.names, config.hidden_size, config.intermediate_size
    query, kv = config.query_size, config.kv_size
    whole = query + 2 * kv
    attention = [("qkv", names.qkv, 0, whole, hidden), ("output", names.output, 0, hidden, query)]
    if not names.qkv:
        attention += [
            ("qkv", names.query, 0, query, hidden),
            ("qkv", names.key, query, kv, hidden),
            ("qkv", names.value, query + kv, kv, hidden),
        ]
    mlp = [("gate_up", names.gate_up, 0, 2 * inner, hidden), ("down", names.down, 0, hidden, inner)]
    if not names.gate_up:
        first = inner if config.family.gated else 0
        mlp += [("gate_up", names.gate, 0, inner, hidden), ("gate_up", names.up, first, inner, hidden)]
    return {
        name.format(i=i): ((i, slot), first, out_size, in_size)
        for i in range(config.num_layers)
        for slot, name, first, out_size, in_size in (attention if config.has_experts(i) else attention + mlp)
        if name
    }


def _scale(fields: Fields, module: str, rank: int) -> float:
    alpha = _pattern(fields.values.get("alpha_pattern"), module)
    if alpha is None:
        alpha = fields.number("lora_alpha")
    rooted = fields.flag("use_rslora", False)
    return alpha / (math.sqrt(rank) if rooted else rank)


def _pattern(patterns: Any, module: str) -> float | None:
    """A value that PEFT keeps by the end of module names, or by regular expressions of them."""
    for pattern, value in (patterns or {}).items():
        if module == pattern or module.endswith(f".{pattern}") or re.fullmatch(rf"(.*\.)?({pattern})", module):
            return float(value)
    return None


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise ModelDirectoryError(f"{path}: file not found; adapters are read from safetensors only")
    try:
        with safe_open(str(path), framework="pt", device="cpu") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (SafetensorError, OSError) as error:
        raise ModelDirectoryError(f"{path}: truncated or damaged ({error}); copy the file again") from error
