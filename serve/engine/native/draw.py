"""Drawing one step's tokens: masks, sampling, the exact check, resampling. Owns no sequence.

*Sample, check, resample*: a mask may be a superset of what the constraint allows. A sampled token that it refuses is
banned and one more is drawn from what is left: the distribution of full masking at the cost of one check. After many refusals
the likeliest tokens that are left are all checked, and one is drawn from those allowed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from collections.abc import Sequence as Seq
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from dovetail.kernels.ops import mask_logits, on_gpu
from dovetail.serve.constrain.base import Constraint, Pending, Waitable
from dovetail.serve.engine.native.device_draw import DeviceDraws
from dovetail.serve.engine.native.draw_row import DrawRow, rows_of
from dovetail.serve.engine.native.sampler import (
    Rows,
    needs_history,
    penalise,
    sample,
    token_logprob,
    uniform,
)
from dovetail.serve.engine.native.sequence import Work
from dovetail.serve.types import Origin, TokenLogprob

Sample = Callable[[Tensor, Rows], list[int]]
"""One token for each row of adjusted logits, -inf where a token may not be drawn."""
MAX_DRAWS = 16
"""Refused draws at one position after which the likeliest tokens that are left are all checked."""

LIKELIEST = 512
"""How many of them: where the constraint takes none of these, it is asked for its retreat."""


@dataclass
class Drawn:
    """What one share of work produced: new tokens in order; ``stuck`` when nothing could be drawn after them.

    ``awaits``: what has to be known before anything can. ``accepted``: how many drafted tokens were confirmed, the first
    ``followed`` of them of the main draft; ``last``: the last of them, -1 if there is none.
    """

    tokens: list[int] = field(default_factory=list)
    origins: list[Origin] = field(default_factory=list)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    log_zs: list[float] = field(default_factory=list)
    state: Constraint | None = None
    accepted: int = 0
    followed: int = 0
    last: int = -1
    stuck: bool = False
    awaits: Waitable | None = None


@dataclass
class Begun:
    """A step's draws, begun. ``device``: where they are made there; else the ``tokens`` are here."""

    shares: list[Work]
    rows: list[DrawRow]
    raw: Tensor
    adjusted: Tensor
    tokens: list[int] = field(default_factory=list)
    device: DeviceDraws | None = None


class Draw:
    """Turns the logits of a step into tokens. ``sample`` picks them: a test or a benchmark may know them beforehand."""

    def __init__(self, vocab_size: int, eos_ids: frozenset[int], sample: Sample = sample) -> None:
        self._size = vocab_size
        self._sample = sample
        self._eos = sorted(token for token in eos_ids if token < vocab_size)
        self._patience_s = 0.0
        self.awaited_s = 0.0
        """Seconds spent waiting for constraints that could not say yet."""

    def __call__(self, work: Seq[Work], logits: Tensor, patience_s: float = 0.0) -> list[Drawn]:
        """One Drawn per share that samples, in order. ``logits``: float32 [R, >= vocab_size], one row per draw.

        ``patience_s``: how long all of it may wait for constraints that cannot say yet.
        """
        return self.finish(self.begin(work, logits), patience_s)

    def begin(self, work: Seq[Work], logits: Tensor, *, overwritten: bool = False) -> Begun:
        """The first half, which waits for no device. ``overwritten``: what holds the logits is used again before the second."""
        raw = logits[:, : self._size]
        shares = [share for share in work if share.samples]
        rows = [row for share in shares for row in rows_of(share)]
        if not rows:
            return Begun([], [], raw, raw)
        assert raw.shape[0] == len(rows)
        if on_gpu(raw) and self._sample is sample:
            device = DeviceDraws(raw, rows, self._eos, overwritten=overwritten)
            return Begun(shares, rows, device.raw, device.adjusted, device=device)
        raw = raw.cpu()
        adjusted = self._adjust(raw, rows)
        uniforms = [uniform(row.sequence.seed, row.position, 0) for row in rows]
        tokens = self._sample(adjusted, Rows([row.params for row in rows], uniforms, [row.position for row in rows]))
        return Begun(shares, rows, raw, adjusted, tokens)

    def finish(self, begun: Begun, patience_s: float = 0.0) -> list[Drawn]:
        """The second half: the tokens are checked."""
        self._patience_s = patience_s
        tokens = begun.tokens if begun.device is None else begun.device.tokens()
        drawn: list[Drawn] = []
        start = 0
        for share in begun.shares:
            end = start + 1 + len(share.draft)
            rows, adjusted, raw = begun.rows[start:end], begun.adjusted[start:end], begun.raw[start:end]
            drawn.append(self._verify(share, rows, tokens[start:end], adjusted, raw))
            start = end
        return drawn

    def _adjust(self, raw: Tensor, rows: Seq[DrawRow]) -> Tensor:
        """Bias, penalties, bans and masks: in ``raw`` itself, or in a copy where ``raw`` is still needed."""
        weighted = [i for i, row in enumerate(rows) if row.params.logit_bias or needs_history(row.params)]
        banned = [(i, tokens) for i, row in enumerate(rows) if (tokens := row.banned(self._size, self._eos))]
        masked = [i for i, row in enumerate(rows) if row.fill_mask(self._size, self._eos)]
        if not (weighted or banned or masked):
            return raw
        logged = any(row.params.logprobs is not None for row in rows)
        adjusted = raw.clone() if weighted or (banned and logged) else raw
        for i in weighted:
            sequence = rows[i].sequence
            penalise(adjusted[i], rows[i].params, sequence.request.prompt, sequence.output)
        values = adjusted.numpy()
        for i, tokens in banned:
            values[i, tokens] = -math.inf
        return self._masked(raw, adjusted, rows, masked) if masked else adjusted

    def _masked(self, raw: Tensor, adjusted: Tensor, rows: Seq[DrawRow], masked: list[int]) -> Tensor:
        """``adjusted`` in a copy with the masks of the rows ``masked``, which learn how much of ``raw`` they left."""
        words = torch.from_numpy(np.stack([mask for i in masked if (mask := rows[i].mask) is not None]))
        if len(masked) == len(rows):
            after, mass, counts = mask_logits(adjusted, raw, words)
        else:
            where = torch.tensor(masked)
            part, mass, counts = mask_logits(adjusted[where], raw[where], words)
            after = adjusted.clone()
            after[where] = part
        for at, log_z, choices in zip(masked, mass.tolist(), counts.tolist(), strict=True):
            rows[at].log_z, rows[at].choices = log_z, choices
        return after

    def _verify(self, share: Work, rows: Seq[DrawRow], tokens: Seq[int], adjusted: Tensor, raw: Tensor) -> Drawn:
        """Walk along the draft while it holds the sample; the first that it does not hold is kept as the step's own token."""
        drawn = Drawn(state=share.sequence.constraint)
        drafted = {pair: node for node, pair in enumerate(zip(share.parents, share.draft, strict=True))}
        while True:
            index = drawn.last + 1
            row = rows[index]
            token: int | None = tokens[index]
            origin: Origin = "sampled"
            if row.state is not None:
                try:
                    token, resampled = self._check(row, tokens[index], adjusted[index])
                except Pending as pending:
                    drawn.awaits = pending.answer
                    return drawn
                if token is None:
                    drawn.stuck = True
                    return drawn
                origin = "resampled" if resampled else "forced" if row.choices == 1 else "sampled"
            assert token is not None
            node = drafted.get((drawn.last, token))
            if node is not None:
                forced = node < share.forced or origin == "forced"
                drawn.last, drawn.accepted = node, drawn.accepted + 1
                drawn.followed += node < share.main
                origin = "forced" if forced else "drafted"
            drawn.tokens.append(token)
            drawn.origins.append(origin)
            drawn.log_zs.append(row.log_z)
            if row.params.logprobs is not None:
                drawn.logprobs.append(token_logprob(raw[index].cpu(), token, row.params.logprobs))
            if row.state is not None and token not in self._eos:
                drawn.state = rows[node + 1].state if node is not None else row.state.advance(token)
            if node is None:
                return drawn

    def _check(self, row: DrawRow, token: int, adjusted: Tensor) -> tuple[int | None, bool]:
        """The first draw that the constraint accepts, and whether it took more than one; None: none was found.

        Raises:
            Pending: the constraint cannot say yet. Asked again, it is about the same draws.
        """
        assert row.state is not None
        if row.choices == 0:
            return None, False
        scores = adjusted
        for attempt in range(1, MAX_DRAWS + 1):
            if token in self._eos or self._allows(row.state, token):
                return token, attempt > 1
            if attempt == 1:
                scores = self._on_host(row, adjusted)
            left = 1.0 - math.exp(min(0.0, float(scores.log_softmax(-1)[token])))
            row.log_z += math.log(max(left, 1e-30))
            scores[token] = -math.inf
            if not bool(torch.isfinite(scores).any()):
                return None, True
            number = uniform(row.sequence.seed, row.position, attempt)
            token = self._sample(scores.unsqueeze(0), Rows([row.params], [number], [row.position]))[0]
        return self._among_likeliest(row, scores), True

    def _on_host(self, row: DrawRow, adjusted: Tensor) -> Tensor:
        """A copy of the row's logits, masked: the draws after a refusal, which are few, are made here."""
        if not on_gpu(adjusted) or self._sample is not sample:
            return adjusted.clone()
        assert row.mask is not None
        scores = adjusted.cpu().unsqueeze(0)
        return mask_logits(scores, scores, torch.from_numpy(row.mask).unsqueeze(0))[0][0]

    def _among_likeliest(self, row: DrawRow, scores: Tensor) -> int | None:
        """A draw from all that the constraint takes of the likeliest tokens."""
        assert row.state is not None
        values, tokens = scores.topk(min(LIKELIEST, len(scores)))
        found = [token for token, value in zip(tokens.tolist(), values.tolist(), strict=True) if value > -math.inf]
        allowed = [token for token in found if token in self._eos or self._allows(row.state, token)]
        if not allowed:
            return None
        kept = torch.full_like(scores, -math.inf)
        kept[allowed] = scores[allowed]
        row.log_z += float(kept.logsumexp(-1) - scores.logsumexp(-1))
        number = uniform(row.sequence.seed, row.position, MAX_DRAWS + 1)
        token = self._sample(kept.unsqueeze(0), Rows([row.params], [number], [row.position]))[0]
        # A later one of these checks may have been the refusal after which the state allows nothing any more.
        return token if token in self._eos or self._allows(row.state, token) else None

    def _allows(self, state: Constraint, token: int) -> bool:
        """The exact check; waits a little for an answer, since to come back costs the row once more."""
        while True:
            try:
                return state.allows(token)
            except Pending as pending:
                began = time.perf_counter()
                found = pending.answer.wait(max(0.0, self._patience_s))
                waited = time.perf_counter() - began
                self._patience_s -= waited
                self.awaited_s += waited
                if not found:
                    raise
