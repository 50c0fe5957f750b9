"""One row of logits, and what its draw depends on apart from them: request, place, constraint and its mask."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from dataclasses import dataclass

import numpy as np

from dovetail.serve.constrain.base import Constraint
from dovetail.serve.engine.native.sequence import Sequence, Work
from dovetail.serve.types import SamplingParams


@dataclass
class DrawRow:
    """``log_z`` and ``choices``: how much of the distribution the mask left, and how many tokens."""

    sequence: Sequence
    params: SamplingParams
    position: int
    state: Constraint | None
    mask: np.ndarray[tuple[int], np.dtype[np.int32]] | None = None
    log_z: float = 0.0
    choices: int = 0

    @property
    def may_stop(self) -> bool:
        """Whether a token that ends the request may be drawn, as far as no constraint decides that."""
        generated = self.position - len(self.sequence.request.prompt)
        return not self.params.ignore_eos and generated >= self.params.min_tokens

    def fill_mask(self, size: int, eos: Seq[int]) -> bool:
        """Ask the constraint for its mask; tokens that end the request are allowed exactly where it may end. False: there is none."""
        if self.state is None:
            return False
        words = np.zeros((size + 31) // 32, dtype=np.int32)
        if not self.state.mask_into(words):
            words.fill(-1)
        may_end = self.state.may_end()
        for token in eos:
            bit = np.int32(np.uint32(1 << (token % 32)).view(np.int32))
            words[token // 32] = words[token // 32] | bit if may_end else words[token // 32] & ~bit
        self.mask = words
        return True

    def banned(self, size: int, eos: Seq[int]) -> list[int]:
        """Tokens that would end the request before it may."""
        if self.state is not None or self.may_stop:
            return []
        stops = [] if self.params.ignore_eos else [token for token in self.params.stop_token_ids if token < size]
        return [*eos, *stops]


def rows_of(share: Work) -> list[DrawRow]:
    """One row for the last known token and one for each drafted one; the states along a draft are known beforehand."""
    sequence = share.sequence
    params = sequence.request.sampling
    rows = [DrawRow(sequence, params, len(sequence.tokens), sequence.constraint)]
    for token, behind in zip(share.draft, share.parents, strict=True):
        parent = rows[behind + 1]
        state = parent.state.advance(token) if parent.state else None
        rows.append(DrawRow(sequence, params, parent.position + 1, state))
    return rows
