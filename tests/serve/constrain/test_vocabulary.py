"""Tables over the vocabulary, against their definitions."""

from __future__ import annotations

import numpy as np
from byte_pairs import vocabulary
from hypothesis import given
from hypothesis import strategies as st

from dovetail.serve.constrain.utf8 import START, controls_for, run
from dovetail.serve.constrain.vocabulary import Vocabulary


@given(st.text(max_size=8), st.binary(max_size=4), st.integers(0, 40))
def test_the_decoder_accepts_the_prefixes_of_text(text: str, noise: bytes, cut: int) -> None:
    data = text.encode()
    state = run(START, data[:cut])
    assert state is not None
    assert run(state, data[cut:]) == START
    mixed = data[:cut] + noise
    stepwise: int | None = START
    for byte in mixed:
        stepwise = None if stepwise is None else run(stepwise, bytes([byte]))
    assert run(START, mixed) == stepwise
    try:
        mixed.decode()
    except UnicodeDecodeError:
        assert stepwise != START
    else:
        assert stepwise == START


def test_an_inner_state_means_that_some_text_goes_on() -> None:
    for lead in range(0x80, 0x100):
        for second in (0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0):
            data = bytes([lead, second])
            possible = any(_decodes(data + tail) for tail in (b"", b"\x80", b"\x80\x80"))
            assert (run(START, data) is not None) == possible, data


def _decodes(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def test_controls() -> None:
    assert controls_for(b"").search(b"a\t\x0c\n") is None
    assert controls_for(b"a\r\n").search(b"a\r\n") is None
    assert controls_for(b"").search(b"\r")
    assert controls_for(b"").search(b"\x00")
    assert controls_for(b"\x01\x00").search(b"\x01") is None
    assert controls_for(b"\x01\x00").search(b"\x00")


def test_text_mask() -> None:
    tokens = Vocabulary([b"a", None, "é".encode(), "é".encode()[:1], "é".encode()[1:], b"\x00", b"\xff", b""], list)
    assert _bits(tokens.text_mask(START)) == [0, 2, 3]
    assert _bits(tokens.text_mask(START, controls=True)) == [0, 2, 3, 5]
    inside = run(START, "é".encode()[:1])
    assert inside is not None
    assert _bits(tokens.text_mask(inside)) == [4]


def _bits(mask: np.ndarray) -> list[int]:
    return np.flatnonzero(np.unpackbits(mask.view(np.uint8), bitorder="little")).tolist()


@given(st.binary(max_size=3) | st.sampled_from([b"\n", b"=====", b"re", b"    "]))
def test_prefix_tables(data: bytes) -> None:
    tokens = vocabulary()
    spellings = {token: tokens.spelling(token) or b"" for token in range(len(tokens)) if tokens.spelling(token)}
    under = {token for token, spelling in spellings.items() if spelling.startswith(data) and spelling != data}
    assert set(tokens.under(data)) == under
    assert set(tokens.along(data)) == {token for token, spelling in spellings.items() if data.startswith(spelling)}
    assert (data in tokens.prefixes) == (data != b"" and any(s.startswith(data) for s in spellings.values()))


def test_pack_and_words() -> None:
    tokens = Vocabulary([b"a"] * 70, list)
    mask = tokens.pack([0, 31, 69])
    assert mask.dtype == np.int32
    assert len(mask) == tokens.words == 3
    assert _bits(mask) == [0, 31, 69]
    assert tokens.spelling(70) is None
    assert tokens.spelling(-1) is None


def test_derived_things_are_kept_and_bounded() -> None:
    tokens = Vocabulary([b"a"], list)
    first = tokens.derived("key", list)
    assert tokens.derived("key", list) is first
    assert tokens.derived("other", list, 1 << 20) is not first
    assert tokens.derived("key", list) is first
    for number in range(100):
        tokens.derived(number, list, 1 << 20)
    assert tokens.derived("key", list) is not first
