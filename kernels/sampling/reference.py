"""Penalties, masks and sampling in plain torch, row by row. Knows nothing of requests.

A token is kept if fewer than ``top_k`` tokens stand before it, their probabilities sum to less than ``top_p``, and its own is at least
``min_p`` of the largest; before it stand the likelier ones, and of equals those with smaller numbers. Of the kept ones the draw is by
inverse transform in the vocabulary's order, so no row depends on another.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dovetail.kernels.sampling.rows import Adjustments, Drawn, SampleRows


def adjust(logits: Tensor, changes: Adjustments) -> None:
    """Apply ``changes`` to float32 ``[R, V]`` logits, in place."""
    bounds = changes.starts.tolist()
    for row in range(logits.shape[0]):
        here = slice(bounds[row], bounds[row + 1])
        tokens = changes.tokens[here].long()
        old, divisors = logits[row, tokens], changes.divisors[here]
        logits[row, tokens] = torch.where(old > 0, old / divisors, old * divisors) + changes.addends[here]


def draw(logits: Tensor, raw: Tensor, rows: SampleRows) -> Drawn:
    """One token per row.

    Args:
        logits: ``[R, V]``: what is drawn from; -inf is forbidden.
        raw: ``[R, V]``: the distribution whose mass is asked for, often ``logits`` itself.
        rows: of every row.
    """
    count, size = logits.shape
    tokens, masses, counts = [], [], []
    for row in range(count):
        allowed = torch.ones(size, dtype=torch.bool)
        if rows.mask_of[row] >= 0:
            words = rows.words[rows.mask_of[row]]
            allowed = ((words.unsqueeze(1) >> torch.arange(32)) & 1).flatten()[:size].bool()
        counts.append(int(allowed.sum()))
        wide = raw[row].double()
        masses.append(float(wide[allowed].logsumexp(-1) - wide.logsumexp(-1)) if counts[-1] else -math.inf)
        scores = torch.where(allowed, logits[row].double(), -math.inf)
        temperature = float(rows.temperatures[row])
        if temperature == 0 or not counts[-1]:
            tokens.append(int(scores.argmax()))
            continue
        weights = torch.exp((scores - scores.max()) / temperature)
        kept = _kept(weights, int(rows.top_ks[row]) or size, float(rows.top_ps[row]), float(rows.min_ps[row]))
        reached = (weights * kept).cumsum(-1)
        above = (reached > float(rows.uniforms[row]) * reached[-1]).nonzero()
        tokens.append(int(above[0]) if len(above) else int(kept.nonzero()[-1]))
    return Drawn(torch.tensor(tokens), torch.tensor(masses), torch.tensor(counts))


def _kept(weights: Tensor, top_k: int, top_p: float, min_p: float) -> Tensor:
    ordered, order = weights.sort(descending=True, stable=True)
    before = ordered.cumsum(-1) - ordered
    keep = (torch.arange(len(weights)) < top_k) & (before < top_p * ordered.sum()) & (ordered >= min_p * ordered[0])
    keep &= ordered > 0
    keep[0] = True
    return torch.zeros(len(weights), dtype=torch.bool).scatter(0, order, keep)
