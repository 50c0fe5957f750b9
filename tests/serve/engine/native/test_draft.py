"""Drafters continue as the text did before, or as it was predicted, and forget what was rolled back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dovetail.serve.engine.native.draft import Drafter, PredictionDrafter, SuffixDrafter

tokens = st.lists(st.integers(0, 3), max_size=30)


def test_continues_the_latest_occurrence() -> None:
    drafter = SuffixDrafter([1, 2, 3, 4, 5, 9, 1, 2, 3, 7, 8, 1, 2, 3])
    assert list(drafter.propose(2).tokens) == [7, 8]
    assert list(drafter.propose(0).tokens) == []


def test_nothing_known_nothing_drafted() -> None:
    assert list(SuffixDrafter([1, 2]).propose(4).tokens) == []
    assert list(SuffixDrafter([1, 2, 3, 4]).propose(4).tokens) == []


def test_a_prediction_is_followed_through_a_change() -> None:
    prediction = list(range(10, 40))
    drafter = PredictionDrafter([1], prediction)
    assert drafter.propose(4) == ([10, 11, 12, 13], 0, True)
    drafter.observe([10, 11, 99])
    assert list(drafter.propose(3).tokens) == [13, 14, 15], "one token was replaced"
    drafter.observe([98, 20, 21])
    assert list(drafter.propose(3).tokens) == [22, 23, 24], "some were left out"


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
