"""A step's draws where the logits are, on a GPU: what they depend on goes there in a few small copies, tokens come back in one.

The host does its share (penalties as single changes, masks) while the device still computes the logits. It waits once, for the
tokens, and not before it asks for them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence as Seq

import numpy as np
import torch
from torch import Tensor

from dovetail.kernels.ops import Adjustments, Fetched, SampleRows, adjust_logits, draw_tokens, upload
from dovetail.serve.engine.native.draw_row import DrawRow
from dovetail.serve.engine.native.sampler import needs_history, uniform


class DeviceDraws:
    """A token for each row of ``raw`` ``[R, V]``, being drawn.

    ``raw`` and the logits after penalties and bans, ``adjusted``, stay on the device; ``overwritten``: what holds ``raw`` will be
    used again before anybody is done with it. ``chosen``: the tokens, there; ``fetched``: them and what masks left, on their way here.
    """

    def __init__(self, raw: Tensor, rows: Seq[DrawRow], eos: Seq[int], *, overwritten: bool = False) -> None:
        size, device = raw.shape[1], raw.device
        if overwritten and any(row.state is not None or row.params.logprobs is not None for row in rows):
            raw = raw.clone()
        changes = [_changes(row, size, eos) for row in rows]
        self.raw = self.adjusted = raw
        if any(changes):
            self.adjusted = raw.clone()
            adjust_logits(self.adjusted, _adjustments(changes, device))
        self._rows, self._masked = rows, [i for i, row in enumerate(rows) if row.fill_mask(size, eos)]
        found = draw_tokens(self.adjusted, raw, _sample_rows(rows, self._masked, size, device))
        self.chosen = found.tokens
        self.fetched = Fetched(torch.stack((found.tokens.double(), found.masses.double(), found.counts.double())))

    def tokens(self) -> list[int]:
        """Waits for them. The rows learn how much of the distribution their masks left."""
        tokens, masses, counts = self.fetched.rows
        for at in self._masked:
            self._rows[at].log_z, self._rows[at].choices = masses[at], int(counts[at])
        return [int(token) for token in tokens]


def _changes(row: DrawRow, size: int, eos: Seq[int]) -> dict[int, tuple[float, float]]:
    """By token: divisor (of a positive logit) and addend, as ``sampler.penalise`` and bans apply them."""
    params = row.params
    banned = row.banned(size, eos)
    if not (params.logit_bias or needs_history(params) or banned):
        return {}
    found: dict[int, tuple[float, float]] = {}
    prompt, output = row.sequence.request.prompt, row.sequence.output
    if params.repetition_penalty != 1.0:
        found = dict.fromkeys({*prompt, *output}, (params.repetition_penalty, 0.0))
    if params.presence_penalty or params.frequency_penalty:
        for token, times in Counter(output).items():
            penalty = params.presence_penalty + params.frequency_penalty * times
            found[token] = (found.get(token, (1.0, 0.0))[0], -penalty)
    for token, bias in params.logit_bias.items():
        if 0 <= token < size:
            divisor, addend = found.get(token, (1.0, 0.0))
            found[token] = (divisor, addend + bias)
    for token in banned:
        found[token] = (1.0, -math.inf)
    return found


def _adjustments(changes: Seq[dict[int, tuple[float, float]]], device: torch.device) -> Adjustments:
    starts = np.cumsum([0, *(len(each) for each in changes)]).tolist()
    tokens = [token for each in changes for token in each]
    factors = [pair for each in changes for pair in each.values()]
    return Adjustments(
        upload(starts, torch.int32, device),
        upload(tokens, torch.int32, device),
        upload([divisor for divisor, _ in factors], torch.float32, device),
        upload([addend for _, addend in factors], torch.float32, device),
    )


def _sample_rows(rows: Seq[DrawRow], masked: Seq[int], size: int, device: torch.device) -> SampleRows:
    uniforms = [uniform(row.sequence.seed, row.position, 0) for row in rows]
    floats = upload(
        [
            [row.params.temperature for row in rows],
            [row.params.top_p for row in rows],
            [row.params.min_p for row in rows],
            uniforms,
        ],
        torch.float32,
        device,
    )
    mask_of = [-1] * len(rows)
    for number, at in enumerate(masked):
        mask_of[at] = number
    whole = upload([[row.params.top_k or 0 for row in rows], mask_of], torch.int32, device)
    words = torch.zeros((1, (size + 31) // 32), dtype=torch.int32)
    if masked:
        words = torch.from_numpy(np.stack([mask for at in masked if (mask := rows[at].mask) is not None]))
    words = upload(words, torch.int32, device)
    return SampleRows(floats[0], whole[0], floats[1], floats[2], floats[3], words, whole[1])
