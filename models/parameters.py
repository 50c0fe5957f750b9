"""The decoder's weights as they are held in memory. Knows no file and no arithmetic beyond their own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from dovetail.kernels.ops import Linear, Storage
from dovetail.models.mlp import Mlp, Projection
from dovetail.models.norms import Norm


@dataclass(frozen=True)
class WeightFormat:
    """How weights are held. ``compute``: the type of activations and biases.

    ``storage``: how the matrices are packed; None: plain tensors of the compute type. ``as_stored``: those that the files hold in few
    bits keep them, and most of these become this; None: all are packed alike. ``invariant``: products give a row the same bits
    whatever shares its batch.
    """

    compute: torch.dtype
    device: torch.device
    storage: Storage | None
    as_stored: Storage | None = None
    invariant: bool = False

    @property
    def quantized(self) -> bool:
        """Whether weights are rounded to few levels."""
        return self.as_stored is not None or self.storage in ("int8", "int4", "fp8")

    @property
    def name(self) -> str:
        """What one weight is stored as."""
        return self.as_stored or self.storage or str(self.compute).removeprefix("torch.")


@dataclass(frozen=True)
class LayerParameters:
    """One layer. ``qkv`` holds query, key and value rows in that order. ``sinks``: a score per head that takes part in the
    softmax and adds nothing. ``attention_added_norm``, ``mlp_added_norm``: norms of what each block adds."""

    input_norm: Norm
    qkv: Projection
    query_norm: Tensor | None
    key_norm: Tensor | None
    sinks: Tensor | None
    output: Projection
    attention_added_norm: Norm | None
    post_attention_norm: Norm
    mlp: Mlp
    mlp_added_norm: Norm | None

    @property
    def exact(self) -> bool:
        """Whether weights and activations are multiplied as float32."""
        return self.qkv.weight.exact and self.output.weight.exact and self.mlp.exact

    @property
    def nbytes(self) -> int:
        """Bytes it takes."""
        return self._attention_bytes + self.mlp.nbytes

    @property
    def step_bytes(self) -> int:
        """Bytes that a pass over one token reads."""
        return self._attention_bytes + self.mlp.step_bytes

    @property
    def _attention_bytes(self) -> int:
        return self.qkv.nbytes + self.output.nbytes + sum(tensor.nbytes for tensor in self._small())

    def _small(self) -> Iterator[Tensor]:
        for norm in (self.input_norm, self.attention_added_norm, self.post_attention_norm, self.mlp_added_norm):
            if norm is not None:
                yield from norm.tensors
        yield from (each for each in (self.query_norm, self.key_norm, self.sinks) if each is not None)


@dataclass(frozen=True)
class DecoderParameters:
    """The whole decoder. ``compute``: the type of activations. ``head`` is the ``embedding`` itself where the two are tied and
    stored alike; ``positions`` a learned embedding of positions."""

    compute: torch.dtype
    embedding: Linear
    positions: Tensor | None
    layers: tuple[LayerParameters, ...]
    final_norm: Norm
    head: Linear
    count: int
    """Number of parameters, tied ones once."""

    @property
    def step_bytes(self) -> int:
        """Bytes that a pass over one token reads: of an embedding that is only looked up, nothing that counts."""
        head = self.head.nbytes
        return head + sum(layer.step_bytes for layer in self.layers) + self._norm_bytes

    @property
    def nbytes(self) -> int:
        """Bytes that all of it takes, tied weights once."""
        ends = self.embedding.nbytes + (0 if self.head is self.embedding else self.head.nbytes)
        positions = 0 if self.positions is None else self.positions.nbytes
        return ends + positions + sum(layer.nbytes for layer in self.layers) + self._norm_bytes

    @property
    def _norm_bytes(self) -> int:
        return sum(tensor.nbytes for tensor in self.final_norm.tensors)
