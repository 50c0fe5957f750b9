"""Drafters continue as the text did before, or as it was predicted, and forget what was rolled back."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from dovetail.serve.constrain.base import Constraint, Draft, Int32Array, Retreat
from dovetail.serve.engine.native.draft import ConstraintDrafter, Drafter, PredictionDrafter, SuffixDrafter

tokens = st.lists(st.integers(0, 3), max_size=30)


def test_continues_where_the_end_agrees_furthest() -> None:
    drafter = SuffixDrafter([1, 2, 3, 4, 5, 9, 1, 2, 3, 7, 8, 1, 2, 3])
    assert drafter.propose(2)[:4] == ([7, 8], 0, False, 3), "the latest of equals"
    assert list(drafter.propose(0).tokens) == []
    drafter.observe([4])
    assert drafter.propose(9)[:4] == ([5, 9, 1, 2, 3, 7, 8, 1, 2], 0, False, 4)


def test_one_token_is_evidence_for_eight() -> None:
    assert SuffixDrafter([1, *range(2, 20), 1]).propose(16)[:4] == ([*range(2, 10)], 0, False, 1)


def test_nothing_known_nothing_drafted() -> None:
    assert list(SuffixDrafter([]).propose(4).tokens) == []
    assert list(SuffixDrafter([1, 2, 3, 4]).propose(4).tokens) == []


def test_a_prediction_is_followed_through_a_change() -> None:
    prediction = list(range(10, 40))
    drafter = PredictionDrafter([1], prediction)
    assert drafter.propose(4)[:4] == ([10, 11, 12, 13], 0, True, 16)
    drafter.observe([10, 11, 99])
    assert list(drafter.propose(3).tokens) == [13, 14, 15], "one token was replaced"
    drafter.observe([98, 20, 21])
    assert drafter.propose(3)[:4] == ([22, 23, 24], 0, True, 2), "some were left out"


def test_off_the_prediction_the_text_itself_is_drafted() -> None:
    drafter = PredictionDrafter([1, 2, 3, 4], [50, 51, 52])
    drafter.observe([7, 1, 2])
    draft = drafter.propose(4)
    assert list(draft.tokens) == [3, 4, 7, 1]
    assert not draft.predicted


class Odd:
    """A constraint that allows odd tokens and hints at what it is given."""

    def __init__(self, hint: Draft) -> None:
        self.hint = hint

    def allows(self, token: int) -> bool:
        return bool(token % 2)

    def admits(self, tokens: Sequence[int]) -> int:
        return next((index for index, token in enumerate(tokens) if not token % 2), len(tokens))

    def mask_into(self, words: Int32Array) -> bool:
        return False

    def advance(self, token: int) -> Constraint:
        return self

    def draft(self, limit: int) -> Draft:
        return self.hint

    def may_end(self) -> bool:
        return True

    def retreat(self) -> Retreat | None:
        return None

    def settled(self) -> int | None:
        return None


def test_under_a_constraint_the_suffix_fills_in_as_far_as_it_is_allowed() -> None:
    prompt = [1, 3, 5, 6, 1, 3]
    nothing, guess, sure, forced = Draft(()), Draft([9], 0, False, 1), Draft([9], 0, False, 2), Draft([9], 1, False, 0)
    assert list(ConstraintDrafter(Odd(nothing), prompt).propose(4).tokens) == [5]
    assert list(ConstraintDrafter(Odd(guess), prompt).propose(4).tokens) == [5]
    assert list(ConstraintDrafter(Odd(sure), prompt).propose(4).tokens) == [9]
    assert list(ConstraintDrafter(Odd(forced), prompt).propose(4).tokens) == [9]
    assert list(ConstraintDrafter(Odd(guess), [1, 4, 1]).propose(4).tokens) == [9], "what it suggests is not allowed"


@given(st.lists(st.integers(0, 5), max_size=30), st.lists(st.integers(0, 5), max_size=8))
def test_every_drafted_token_is_allowed_in_its_place(prompt: list[int], hint: list[int]) -> None:
    own = Draft(hint[: Odd(Draft(())).admits(hint)], 0, False, 1)
    draft = ConstraintDrafter(Odd(own), prompt).propose(6)
    assert all(token % 2 for token in draft.tokens)


@given(st.booleans(), tokens, tokens, st.integers(0, 30))
def test_rewind_is_as_if_never_observed(predict: bool, prompt: list[int], output: list[int], keep: int) -> None:
    def fresh() -> Drafter:
        return PredictionDrafter(prompt, [0, 1, 2, 3, 1, 2, 0]) if predict else SuffixDrafter(prompt)

    keep = min(keep, len(output))
    one, other = fresh(), fresh()
    one.observe(output)
    one.rewind(keep)
    other.observe(output[:keep])
    assert one.propose(8) == other.propose(8)
