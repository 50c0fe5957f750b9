"""The kinds of MLP that a layer may have: gated, plain, or a choice of experts. Knows no layer and no file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from dovetail.kernels.ops import DeviceWeight, Experts, Linear, StoredExperts, mix_experts, plain_weight, silu_mul
from dovetail.models.config import Activation

ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "silu": F.silu,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
}


@dataclass(frozen=True)
class Projection:
    """``weight`` ``[out, in]`` and ``bias`` ``[out]``."""

    weight: Linear
    bias: Tensor | None

    def apply(self, x: Tensor) -> Tensor:
        """``[T, in]`` to ``[T, out]``."""
        return self.weight.apply(x, self.bias)

    @property
    def nbytes(self) -> int:
        """Bytes it takes."""
        return self.weight.nbytes + (0 if self.bias is None else self.bias.nbytes)


class Mlp(Protocol):
    """``[T, hidden]`` to ``[T, hidden]``."""

    @property
    def nbytes(self) -> int:
        """Bytes it takes."""
        ...

    @property
    def step_bytes(self) -> int:
        """Bytes that a pass over one token reads."""
        ...

    @property
    def exact(self) -> bool:
        """Whether weights and activations are multiplied as float32."""
        ...

    def apply(self, x: Tensor) -> Tensor:
        """What the MLP adds."""
        ...


@dataclass(frozen=True)
class GatedMlp:
    """``down(activation(gate(x)) * up(x))``; ``gate_up`` holds gate rows, then up rows."""

    gate_up: Projection
    down: Projection
    activation: Activation

    @property
    def nbytes(self) -> int:
        """Bytes it takes."""
        return self.gate_up.nbytes + self.down.nbytes

    @property
    def step_bytes(self) -> int:
        """All of it."""
        return self.nbytes

    @property
    def exact(self) -> bool:
        """Whether weights and activations are multiplied as float32."""
        return self.gate_up.weight.exact and self.down.weight.exact

    def apply(self, x: Tensor) -> Tensor:
        """What the MLP adds."""
        return self.down.apply(gated(self.gate_up.apply(x), self.activation))


@dataclass(frozen=True)
class PlainMlp:
    """``down(activation(up(x)))``."""

    up: Projection
    down: Projection
    activation: Activation

    @property
    def nbytes(self) -> int:
        """Bytes it takes."""
        return self.up.nbytes + self.down.nbytes

    @property
    def step_bytes(self) -> int:
        """All of it."""
        return self.nbytes

    @property
    def exact(self) -> bool:
        """Whether weights and activations are multiplied as float32."""
        return self.up.weight.exact and self.down.weight.exact

    def apply(self, x: Tensor) -> Tensor:
        """What the MLP adds."""
        return self.down.apply(ACTIVATIONS[self.activation](self.up.apply(x)))


@dataclass(frozen=True)
class ExpertsMlp:
    """Every token goes through ``per_token`` experts, those of the highest scores, and adds their results by weight.

    ``normalised``: the weights are a softmax over the chosen scores; else over all scores. ``clamp``: limit and steepness of
    the clamped activation, in which ``up`` is one more than it says; None: the plain one.
    """

    router: Projection
    gate_up: Sequence[Projection]
    down: Sequence[Projection]
    per_token: int
    normalised: bool
    activation: Activation
    clamp: tuple[float, float] | None

    @property
    def nbytes(self) -> int:
        """Bytes it takes."""
        return self.router.nbytes + self._experts_bytes

    @property
    def step_bytes(self) -> int:
        """The router and a token's experts."""
        return self.router.nbytes + self._experts_bytes * self.per_token // len(self.down)

    @property
    def exact(self) -> bool:
        """Whether weights and activations are multiplied as float32."""
        return all(each.weight.exact for each in (*self.gate_up, *self.down))

    def apply(self, x: Tensor) -> Tensor:
        """What the chosen experts add. Experts that no row has chosen are not read."""
        weights, chosen = _route(self.router, x, self.per_token, self.normalised)
        out = torch.zeros_like(x)
        for expert in sorted(set(chosen.flatten().tolist())):
            rows, place = torch.where(chosen == expert)
            inner = self.gate_up[expert].apply(x[rows])
            out.index_add_(0, rows, self.down[expert].apply(self._activate(inner)) * weights[rows, place].unsqueeze(1))
        return out

    @property
    def _experts_bytes(self) -> int:
        return sum(each.nbytes for each in (*self.gate_up, *self.down))

    def grouped(self, *, invariant: bool) -> GroupedExpertsMlp:
        """The same with one tensor for all experts, or one store of few bits, as the GPU's kernels want it."""

        def stack(each: Sequence[Projection]) -> tuple[Tensor | StoredExperts, Tensor | None]:
            biases = [p.bias for p in each if p.bias is not None]
            bias = torch.stack(biases) if biases else None
            stored = [p.weight for p in each if isinstance(p.weight, DeviceWeight) and p.weight.storage is not None]
            if len(stored) == len(each) and len({(part.storage, part.group) for part in stored}) == 1:
                return StoredExperts.stacked(stored), bias
            return torch.stack([plain_weight(p.weight) for p in each]), bias

        (gate_up, gate_up_bias), (down, down_bias) = stack(self.gate_up), stack(self.down)
        experts = Experts(gate_up, down, gate_up_bias, down_bias, self._activate)
        return GroupedExpertsMlp(self.router, experts, self.per_token, self.normalised, invariant)

    def _activate(self, gate_up: Tensor) -> Tensor:
        return gated(gate_up, self.activation) if self.clamp is None else _clamped(gate_up, *self.clamp)


@dataclass(frozen=True)
class GroupedExpertsMlp:
    """A choice of experts on a GPU, computed together; which were chosen is never asked by the host.

    ``invariant``: a row's result is the same bits whatever shares its batch.
    """

    router: Projection
    experts: Experts
    per_token: int
    normalised: bool
    invariant: bool

    @property
    def nbytes(self) -> int:
        """Bytes it takes."""
        return self.router.nbytes + self._experts_bytes

    @property
    def step_bytes(self) -> int:
        """The router and a token's experts."""
        return self.router.nbytes + self._experts_bytes * self.per_token // len(self.experts.down)

    @property
    def exact(self) -> bool:
        """Whether weights and activations are multiplied as float32."""
        return isinstance(self.experts.down, Tensor) and self.experts.down.dtype == torch.float32

    @property
    def _experts_bytes(self) -> int:
        experts = self.experts
        biases = [each.nbytes for each in (experts.gate_up_bias, experts.down_bias) if each is not None]
        return experts.gate_up.nbytes + experts.down.nbytes + sum(biases)

    def apply(self, x: Tensor) -> Tensor:
        """What the chosen experts add."""
        weights, chosen = _route(self.router, x, self.per_token, self.normalised)
        return mix_experts(x, chosen, weights, self.experts, invariant=self.invariant)


def _route(router: Projection, x: Tensor, per_token: int, normalised: bool) -> tuple[Tensor, Tensor]:
    """Weights and experts of each row, both ``[T, per_token]``."""
    scores = router.apply(x).to(torch.float32)
    top, chosen = scores.topk(per_token, dim=-1)
    weights = top.softmax(-1) if normalised else scores.softmax(-1).gather(-1, chosen)
    return weights.to(x.dtype), chosen


def gated(gate_up: Tensor, activation: Activation) -> Tensor:
    """``activation(gate) * up`` for a fused projection."""
    if activation == "silu":
        return silu_mul(gate_up)
    gate, up = gate_up.chunk(2, dim=-1)
    return ACTIVATIONS[activation](gate) * up


def _clamped(gate_up: Tensor, limit: float, steepness: float) -> Tensor:
    gate, up = gate_up.chunk(2, dim=-1)
    gate, up = gate.clamp(max=limit), up.clamp(-limit, limit)
    return gate * torch.sigmoid(steepness * gate) * (up + 1)
