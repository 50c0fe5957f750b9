"""A random model without a model: walks a constraint from its start to an end, token by token, as the step loop would."""

from __future__ import annotations

import random

import numpy as np
from byte_pairs import vocabulary

from dovetail.serve.constrain.base import Constraint

CLOSERS = frozenset(b'"}],:@')


def tokens_in(words: np.ndarray) -> np.ndarray:
    """The tokens of a bit mask."""
    return np.flatnonzero(np.unpackbits(words.view(np.uint8), bitorder="little"))


def mask_of(state: Constraint) -> np.ndarray:
    words = np.full(vocabulary().words, -1, dtype=np.int32)
    assert state.mask_into(words)
    return words


CLOSING = np.array(
    [bool(spelling) and spelling[0] in CLOSERS for spelling in map(vocabulary().spelling, range(len(vocabulary())))]
)


def walk(start: Constraint, seed: int, longest: int = 400, patience: int = 60) -> tuple[list[int], bool]:
    """Random tokens, and whether they are complete. After ``patience`` tokens it prefers what closes something."""
    choose = random.Random(seed)
    state, tokens = start, list[int]()
    while len(tokens) < longest:
        mask = mask_of(state)
        allowed = tokens_in(mask)
        if state.may_end() and (not len(allowed) or choose.random() < 0.3 or len(tokens) > patience):
            return tokens, True
        if not len(allowed):
            return tokens, False
        closing = allowed[CLOSING[allowed]]
        hurried = len(tokens) > patience or choose.random() < 0.4
        token = int(choose.choice(closing if hurried and len(closing) else allowed))
        assert state.allows(token)
        state = state.advance(token)
        tokens.append(token)
    return tokens, False
