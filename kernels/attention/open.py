"""Attention with the scores in the open, for what torch's fused attention does not have: a soft cap on scores, and sinks."""

from __future__ import annotations

import torch
from torch import Tensor


def attend_openly(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    allowed: Tensor | None,
    scale: float,
    softcap: float | None,
    sinks: Tensor | None,
) -> Tensor:
    """One key head after the other, so that only its scores are held.

    Args:
        q: ``[G, H, Q, D]``.
        k, v: ``[G, kv_heads, K, D]``.
        allowed: bool, ``[.., Q, K]`` or with more dimensions in front: which keys a row sees; None: all.
        scale: factor on the scores.
        softcap: scores become ``softcap * tanh(score / softcap)``; None: they stay.
        sinks: ``[H]``: a score of each head that takes part in its softmax and adds nothing; None: there is none.

    Returns:
        ``[G, H, Q, D]``.
    """
    out = torch.empty_like(q, memory_format=torch.contiguous_format)
    shared = q.shape[1] // k.shape[1]
    for head in range(k.shape[1]):
        mine = slice(head * shared, (head + 1) * shared)
        scores = (q[:, mine] @ k[:, head : head + 1].transpose(-1, -2)).to(torch.float32) * scale
        if softcap is not None:
            scores = torch.tanh(scores / softcap) * softcap
        if allowed is not None:
            scores = scores.masked_fill(~allowed, float("-inf"))
        if sinks is not None:
            column = sinks[mine].to(torch.float32).view(1, -1, 1, 1).expand(*scores.shape[:3], 1)
            scores = torch.cat((scores, column), dim=-1)
        weights = scores.softmax(-1)[..., : k.shape[2]].to(v.dtype)
        out[:, mine] = weights @ v[:, head : head + 1]
    return out
