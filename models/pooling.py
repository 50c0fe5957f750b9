"""The decoder with its head taken off, and hidden states that become one vector. Knows nothing of files and requests."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dovetail.models.decoder import Decoder
from dovetail.models.embedding_config import Pooling


def without_head(decoder: Decoder) -> Decoder:
    """The same decoder over the same weights; what it gives for a row is its final hidden state."""
    config = decoder.config
    unscaled = dataclasses.replace(config.scales, logits=1.0, logit_softcap=None)
    headless = dataclasses.replace(decoder.weights, head=_Same(config.hidden_size))
    shape = dataclasses.replace(config, scales=unscaled)
    return Decoder(shape, headless, decoder.length, deterministic=decoder.deterministic)


class Pooled:
    """The vector of one text, whose hidden states come in chunks."""

    def __init__(self, pooling: Pooling) -> None:
        self._pooling = pooling
        self._sum: Tensor | None = None
        self._count = 0

    def add(self, first: int, states: Tensor) -> None:
        """``states``: float32 ``[n, hidden]`` of the tokens from ``first`` on; 0 begins anew."""
        if first == 0:
            self._sum, self._count = None, 0
        if self._pooling == "last":
            self._sum, self._count = states[-1], 1
            return
        part = states.to(torch.float64).sum(0)
        self._sum = part if self._sum is None else self._sum + part
        self._count += len(states)

    @property
    def vector(self) -> Tensor:
        """float32 ``[hidden]``."""
        assert self._sum is not None
        return (self._sum / self._count).to(torch.float32)


@dataclass(frozen=True)
class _Same:
    """A head that gives back what it is given."""

    hidden: int
    nbytes: int = 0
    exact: bool = True

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.hidden, self.hidden

    def apply(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """``x`` itself."""
        assert bias is None
        return x

    def rows(self, index: Tensor) -> Tensor:
        """Rows of the identity."""
        return F.one_hot(index, self.hidden).to(torch.float32)
