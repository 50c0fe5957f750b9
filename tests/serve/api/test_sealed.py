"""Sealed texts: what comes back is what was given, and nothing else is accepted."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovetail.serve.api.sealed import PREFIX, Sealer, kept_key
from dovetail.serve.api.store.local import LocalRecords

SEALER = Sealer(b"one key")


@given(st.text())
def test_a_sealed_text_comes_back(text):
    assert SEALER.unseal("reasoning", SEALER.seal("reasoning", text)) == text


def test_no_two_seals_are_alike():
    assert SEALER.seal("reasoning", "x") != SEALER.seal("reasoning", "x")


@given(st.text(min_size=1), st.data())
def test_a_damaged_seal_is_not_accepted(text, data):
    sealed = SEALER.seal("reasoning", text)
    raw = bytearray(base64.urlsafe_b64decode(sealed[len(PREFIX) :]))
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] ^= data.draw(st.integers(1, 255))
    assert SEALER.unseal("reasoning", PREFIX + base64.urlsafe_b64encode(raw).decode()) is None


@given(st.text())
def test_foreign_text_is_not_accepted(text):
    assert SEALER.unseal("reasoning", text) is None
    assert SEALER.unseal("reasoning", PREFIX + text) is None


@pytest.mark.parametrize("other", [Sealer(b"another key"), Sealer(b"")])
def test_another_deployment_does_not_accept_it(other):
    assert other.unseal("reasoning", SEALER.seal("reasoning", "x")) is None


def test_a_seal_holds_for_one_purpose():
    assert SEALER.unseal("compaction", SEALER.seal("reasoning", "x")) is None


def test_a_key_is_kept_with_the_records(tmp_path):
    file = tmp_path / "records.db"
    keys = []
    for path in (file, file, None):
        records = LocalRecords(path)
        keys.append(kept_key(records))
        records.close()
    assert keys[0] == keys[1] != keys[2]
    assert len(keys[0]) == 32
