"""The step loop's protocol in miniature: check, resample, retreat, settle, with a uniformly random model.

Written as the engine's step loop does it, so that what holds here holds there. Knows only the Constraint seam.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from dovetail.serve.constrain.base import Constraint
from dovetail.serve.constrain.vocabulary import Vocabulary

DRAWS = 24
"""Refused draws in one step before the mask is asked, and refused masked draws before the loop retreats."""


@dataclass
class Outcome:
    """What came out, and what happened on the way."""

    tokens: list[int] = field(default_factory=list)
    retreats: int = 0
    steps: int = 0
    ended: bool = False


def masked(state: Constraint, vocabulary: Vocabulary) -> list[int]:
    """The tokens that the mask holds."""
    words = np.full(vocabulary.words, -1, dtype=np.int32)
    if not state.mask_into(words):
        return list(range(len(vocabulary)))
    bits = np.unpackbits(words.view(np.uint8), bitorder="little")[: len(vocabulary)]
    return np.flatnonzero(bits).tolist()


def generate(
    state: Constraint,
    vocabulary: Vocabulary,
    budget: int,
    chance: random.Random,
    bias: float = 0.3,
    end: float = 0.05,
    favourites: Sequence[int] = (),
    grown: Callable[[Sequence[int]], object] = len,
) -> Outcome:
    """Draw at most ``budget`` tokens.

    ``bias``: how often the constraint's own draft is followed instead of a random draw, so that blocks get finished.
    ``favourites``: tokens drawn a fifth of the time: line feeds and pieces of markers, lest blocks never end.
    ``end``: how often the output ends where it may. ``grown``: shown the output whenever it has changed.
    """
    outcome, states = Outcome(), [state]
    while len(outcome.tokens) < budget and outcome.steps < 20 * budget + 200:
        outcome.steps += 1
        state = states[-1]
        if state.may_end() and (chance.random() < end or not masked(state, vocabulary)):
            outcome.ended = True
            break
        token = _draw(state, vocabulary, chance, bias, favourites)
        if token is None:
            retreat = state.retreat()
            assert retreat is not None, "no token is allowed, and there is nowhere to go back to"
            assert retreat.keep <= len(outcome.tokens)
            outcome.retreats += 1
            del outcome.tokens[retreat.keep :], states[retreat.keep + 1 :]
            states[retreat.keep] = retreat.state
            grown(outcome.tokens)
            continue
        outcome.tokens.append(token)
        states.append(state.advance(token))
        grown(outcome.tokens)
    if not states[-1].may_end():
        settled = states[-1].settled()
        assert settled is not None
        assert settled <= len(outcome.tokens)
        del outcome.tokens[settled:]
        grown(outcome.tokens)
    return outcome


def _draw(
    state: Constraint, vocabulary: Vocabulary, chance: random.Random, bias: float, favourites: Sequence[int]
) -> int | None:
    if chance.random() < bias:
        draft = state.draft(4)
        if draft.tokens:
            assert state.allows(draft.tokens[0])
            return draft.tokens[0]
    for _ in range(DRAWS):
        token = chance.randrange(len(vocabulary))
        if favourites and chance.random() < 0.2:
            token = chance.choice(favourites)
        if state.allows(token):
            return token
    candidates = masked(state, vocabulary)
    for _ in range(DRAWS):
        if not candidates:
            return None
        token = chance.choice(candidates)
        if state.allows(token):
            return token
        candidates.remove(token)
    return None
