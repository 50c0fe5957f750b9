"""Drafters: the suffix drafter continues as the text did before, and forgets what was rolled back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dovetail.serve.engine.native.draft import DraftLength, SuffixDrafter


def test_continues_the_latest_occurrence() -> None:
    drafter = SuffixDrafter([1, 2, 3, 4, 5, 9, 1, 2, 3, 7, 8, 1, 2, 3])
    assert list(drafter.propose(2).tokens) == [7, 8]
    assert list(drafter.propose(0).tokens) == []


def test_nothing_known_nothing_drafted() -> None:
    assert list(SuffixDrafter([1, 2]).propose(4).tokens) == []
    assert list(SuffixDrafter([1, 2, 3, 4]).propose(4).tokens) == []


@given(st.lists(st.integers(0, 3), max_size=30), st.lists(st.integers(0, 3), max_size=30), st.integers(0, 30))
def test_rewind_is_as_if_never_observed(prompt: list[int], output: list[int], keep: int) -> None:
    keep = min(keep, len(output))
    one, other = SuffixDrafter(prompt), SuffixDrafter(prompt)
    one.observe(output, 0, 0)
    one.rewind(keep)
    other.observe(output[:keep], 0, 0)
    assert list(one.propose(8).tokens) == list(other.propose(8).tokens)


def test_length_follows_success() -> None:
    length = DraftLength(longest=32)
    start = length.limit()
    length.learn(start, start)
    assert length.limit() == 2 * start
    for _ in range(8):
        length.learn(8, 0)
    assert length.limit() == 0
    assert max(length.limit() for _ in range(20)) == 1
