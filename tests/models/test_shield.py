"""User text never becomes a special token, and comes through unchanged."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail.models.shield import ESCAPE, MARK, Shield, SpecialRule

SPECIALS = ["<|im_start|>", "<|im_end|>", "<s>", "</s>", "ab", "bc", "abcab", "#"]
SHIELD = Shield(dict.fromkeys(SPECIALS, SpecialRule()))

fragments = st.sampled_from(
    [*SPECIALS, "<|im_", "end|>", "<", "|>", "s>", "/", "a", "b", "c", MARK, ESCAPE, "0", "1", " ", "\n", "x", ">"]
)
texts = st.lists(fragments, max_size=8).map("".join) | st.text(max_size=10)


@settings(max_examples=500, deadline=None)
@given(parts=st.lists(texts, max_size=4))
def test_nothing_special_arises_even_between_neighbours(parts: list[str]) -> None:
    pieces = list(SHIELD.split("".join(SHIELD.protect(part) for part in parts)))
    assert [special for _, special in pieces if special is not None] == []
    assert "".join(text for text, _ in pieces) == "".join(parts)


@settings(max_examples=300, deadline=None)
@given(before=texts, after=texts)
def test_the_templates_own_tokens_stay_special(before: str, after: str) -> None:
    pieces = list(SHIELD.split(f"<s>{SHIELD.protect(before)}<|im_end|>{SHIELD.protect(after)}</s>"))
    assert [special for _, special in pieces if special] == ["<s>", "<|im_end|>", "</s>"]
    cut = next(i for i, (_, special) in enumerate(pieces) if special == "<|im_end|>")
    assert "".join(text for text, _ in pieces[:cut]) == before
    assert "".join(text for text, _ in pieces[cut:]) == after


@settings(max_examples=300, deadline=None)
@given(text=texts)
def test_trimming_in_a_template_opens_no_gap(text: str) -> None:
    if not text.strip() or text.strip() == "/":
        return  # the template itself would spell a token
    shielded = SHIELD.protect(text).strip()
    pieces = list(SHIELD.split(f"<|im_{shielded}end|>x<{shielded}s>"))
    assert all(special is None for _, special in pieces)


@pytest.mark.parametrize("text", ["", "plain", "if a < b:\n    pass", "x <= y || z", "</think> done"])
def test_ordinary_text_is_left_alone(text: str) -> None:
    shield = Shield(dict.fromkeys(["<|im_start|>", "<|im_end|>"], SpecialRule()))
    assert shield.protect(text) == text


def test_a_template_may_build_its_token_from_a_role() -> None:
    shield = Shield(dict.fromkeys(["<|user|>", "<|end|>"], SpecialRule()))
    assert list(shield.split(f"<|{shield.protect('user')}|>")) == [("", "<|user|>")]


def test_the_longest_token_wins() -> None:
    assert [special for _, special in SHIELD.split("abcab")] == ["abcab"]


def test_no_special_tokens_at_all() -> None:
    shield = Shield({})
    assert list(shield.split(shield.protect("<s>" + MARK))) == [("<s>" + MARK, None)]


@pytest.mark.parametrize("text", ["<s>", "x<s>abcab</s>y", "<<s>s>", "abc"])
def test_cuts_break_every_token(text: str) -> None:
    pieces = SHIELD.cuts(text)
    assert "".join(pieces) == text
    assert not any(special in piece for piece in pieces for special in SPECIALS if len(special) > 1)
