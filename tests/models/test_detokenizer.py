"""Incremental detokenisation: never half a character, rewindable, and in sum the same as all at once."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail.models.tokenizer import Detokenizer


@dataclass(frozen=True)
class Bytes:
    """Every byte is a token; 256 is special."""

    def token_bytes(self, token_id: int) -> bytes | None:
        return bytes([token_id]) if token_id < 256 else None


def test_holds_half_a_character_back() -> None:
    detokenizer = Detokenizer(Bytes())
    assert [detokenizer.push(byte) for byte in "a\u00e9\U0001f600".encode()] == [
        "a",
        "",
        "\u00e9",
        "",
        "",
        "",
        "\U0001f600",
    ]
    assert detokenizer.flush() == ""


def test_flush_replaces_an_incomplete_tail_and_starts_afresh() -> None:
    detokenizer = Detokenizer(Bytes())
    assert [detokenizer.push(byte) for byte in "\U0001f600".encode()[:3]] == ["", "", ""]
    assert detokenizer.flush() == "\ufffd"
    assert detokenizer.flush() == ""
    assert detokenizer.push(ord("x")) == "x"


def test_special_tokens_give_nothing() -> None:
    detokenizer = Detokenizer(Bytes())
    assert [detokenizer.push(token) for token in (0xC3, 256, 0xA9)] == ["", "", "\u00e9"]


@pytest.mark.parametrize("data", [b"\xff\xfe", b"a\xc3(", b"\xe2\x28\xa1", b"\xf0\x9f\x98", b"\xed\xa0\x80"])
def test_bytes_that_are_not_utf8(data: bytes) -> None:
    detokenizer = Detokenizer(Bytes())
    text = "".join(detokenizer.push(byte) for byte in data) + detokenizer.flush()
    assert text == data.decode(errors="replace")


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=30), junk=st.binary(max_size=10), at=st.integers(0, 30))
def test_a_rewind_leaves_no_trace(data: bytes, junk: bytes, at: int) -> None:
    detokenizer = Detokenizer(Bytes())
    text = "".join(detokenizer.push(byte) for byte in data[:at])
    mark, twin = detokenizer.mark(), detokenizer.copy()
    for byte in junk:
        detokenizer.push(byte)
    detokenizer.rewind(mark)
    rest = "".join(detokenizer.push(byte) for byte in data[at:]) + detokenizer.flush()
    assert text + rest == data.decode(errors="replace")
    assert "".join(twin.push(byte) for byte in data[at:]) + twin.flush() == rest


def test_special_tokens_are_spelled_where_they_are_wanted() -> None:
    detokenizer = Detokenizer(Bytes(), {256: b"<call>"})
    assert [detokenizer.push(token) for token in (97, 256, 98)] == ["a", "<call>", "b"]
    assert detokenizer.copy().push(256) == "<call>"
    assert Detokenizer(Bytes()).push(256) == ""
