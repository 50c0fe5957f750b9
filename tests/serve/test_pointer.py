"""The pointer proposes what the quoted text goes on with, and says how much speaks for it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dovetail.serve.pointer import Pointer, Trail

tokens = st.lists(st.integers(0, 6), max_size=40)


@given(tokens, tokens, st.integers(0, 12))
def test_what_it_proposes_is_a_stretch_of_the_quoted_text(quoted: list[int], said: list[int], limit: int) -> None:
    trail, pointer = Trail(quoted), Pointer()
    for token in said:
        pointer = trail.after(pointer, token)
        proposed = trail.propose(pointer, limit)
        assert len(proposed) <= limit
        assert proposed in [quoted[start : start + len(proposed)] for start in range(len(quoted) + 1)]


@given(tokens, tokens)
def test_agreement_counts_the_tokens_before_its_place(quoted: list[int], said: list[int]) -> None:
    trail, pointer = Trail(quoted), Pointer(None, 0, 1)
    for count, token in enumerate(said, 1):
        pointer = trail.after(pointer, token)
        agreed = min(pointer.agreed, count)
        if pointer.place is not None:
            assert quoted[pointer.place - agreed : pointer.place] == said[count - agreed : count]
        else:
            assert pointer.agreed == 0


def test_evidence_grows_with_every_token_that_agrees() -> None:
    trail, pointer = Trail(range(100, 140)), Pointer()
    seen = []
    for token in (100, 7, 110, 111, 112, 113):
        pointer = trail.after(pointer, token)
        seen.append(pointer.evidence)
    assert seen == [17, 1, 1, 2, 3, 4]


def test_one_token_close_by_is_a_guess_that_is_taken_back() -> None:
    trail, pointer = Trail([1, 2, 3, 4, 5, 6, 7, 8]), Pointer()
    for token in (1, 2, 90):
        pointer = trail.after(pointer, token)
    found = trail.after(pointer, 4)
    assert (trail.propose(found, 2), found.evidence) == ([5, 6], 1)
    wrong = trail.after(found, 91)
    assert (wrong.place, wrong.last) == (None, pointer.last)
    assert trail.propose(trail.after(wrong, 3), 2) == [4, 5]
