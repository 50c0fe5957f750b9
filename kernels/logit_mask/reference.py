"""Bit masks applied to rows of logits, and what they leave, in plain torch. Knows nothing of grammars or sampling."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_FAINT = 1e-20
_BITS = (torch.arange(256).unsqueeze(1) >> torch.arange(8)) & 1
_LEFT = _BITS.float()
_BARRED = torch.where(_BITS > 0, 0.0, -math.inf)
"""Eight entries for each byte of a mask: arithmetic on floats is several times as fast as torch's masks of booleans."""


def mask_logits(scores: Tensor, logits: Tensor, words: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Bar tokens by bit masks.

    Args:
        scores: ``[R, V]`` float32: what is masked.
        logits: ``[R, V]`` float32: the distribution whose mass is asked for, often ``scores`` itself; finite.
        words: ``[R, (V + 31) // 32]`` int32: token ``t`` is allowed if bit ``t % 32`` of word ``t // 32`` is set.

    Returns:
        ``scores`` with -inf for what is not allowed, a new tensor; per row the log of the probability mass of ``logits`` that is
        allowed (float32), and how many tokens are (int64).
    """
    size = logits.shape[1]
    allowed = _expanded(words, size, _LEFT)
    weights = (logits - logits.amax(-1, keepdim=True)).exp_()
    total = weights.sum(-1)
    left = weights.mul_(allowed).sum(-1)
    mass = (left / total).log()
    for row in (left < _FAINT).nonzero().flatten().tolist():  # too little for float32 beside the likeliest token
        mass[row] = logits[row][allowed[row] > 0].logsumexp(-1) - logits[row].logsumexp(-1)
    return scores + _expanded(words, size, _BARRED), mass, allowed.sum(-1).long()


def _expanded(words: Tensor, size: int, table: Tensor) -> Tensor:
    octets = words.view(torch.uint8).flatten().int()
    return table.index_select(0, octets).view(len(words), -1)[:, :size]
