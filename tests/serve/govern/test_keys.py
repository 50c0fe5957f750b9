"""API keys in the database and in memory."""

from __future__ import annotations

import contextlib
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovetail.serve.errors import UserError
from dovetail.serve.govern.keys.key import parts_of
from dovetail.serve.govern.keys.keyring import FRESH_SECONDS, Keyring
from dovetail.serve.govern.keys.table import create_key, find_key, list_keys, revoke_key, rotate_key
from dovetail.serve.govern.principal import Quota, Scopes
from dovetail.serve.govern.store.database import Database

NOW = 1_800_000_000.0


class Clock:
    """Times that a test sets."""

    def __init__(self, time: float = NOW) -> None:
        self.time = time

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keyring(database: Database, clock: Clock) -> Keyring:
    return Keyring(database, now=clock, clock=clock)


async def test_a_key_opens_what_it_was_made_for(database: Database, keyring: Keyring) -> None:
    scopes, quota = Scopes(models=("tiny*",), admin=True), Quota(streams=3)
    key, text = database.call(
        lambda session: create_key(session, "ci", now=NOW, group="team", scopes=scopes, quota=quota)
    )
    found = await keyring.match(text)
    assert found == key
    assert found is not None
    assert (found.name, found.group, found.scopes, found.quota) == ("ci", "team", scopes, quota)
    assert found.standing(NOW) == "live"


async def test_no_other_text_opens_anything(database: Database, keyring: Keyring) -> None:
    _, first = database.call(lambda session: create_key(session, "a", now=NOW))
    other, _ = database.call(lambda session: create_key(session, "b", now=NOW))
    secret = first.split("_")[2]
    wrong = [
        "",
        "sk-nothing",
        first[:-1],
        first + "x",
        first.upper(),
        f"dvt_{other.id}_{secret}",
        f"dvt__{secret}",
        "dvt__",
        f"dvt_none_{secret}",
        f"{first}_",
        "dvt_ä_ö",
    ]
    for text in wrong:
        assert await keyring.match(text) is None, text


@given(st.text())
def test_any_text_has_parts_or_none(text: str) -> None:
    parts = parts_of(text)
    assert parts is None or f"dvt_{parts[0]}_{parts[1]}" == text


def test_the_secret_is_nowhere_in_the_database(tmp_path: Path) -> None:
    with contextlib.closing(Database(str(tmp_path / "keys"))) as database:
        _, text = database.call(lambda session: create_key(session, "ci", now=NOW))
        _, again = database.call(lambda session: create_key(session, "ci", now=NOW))
    assert text != again
    stored = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"ci" in stored
    assert text.split("_")[2].encode() not in stored
    assert set(text.split("_")[2]) <= set(string.ascii_letters + string.digits)


async def test_a_key_expires(database: Database, keyring: Keyring, clock: Clock) -> None:
    _, text = database.call(lambda session: create_key(session, "short", now=NOW, expires=NOW + 10))
    for time, standing in ((NOW + 9.9, "live"), (NOW + 10, "expired")):
        clock.time = time
        found = await keyring.match(text)
        assert found is not None
        assert found.standing(time) == standing


async def test_a_revocation_by_another_process_holds_within_the_time(
    store_url: str, keyring: Keyring, clock: Clock
) -> None:
    with contextlib.closing(Database(store_url)) as other:
        key, text = other.call(lambda session: create_key(session, "gone", now=NOW))
        found = await keyring.match(text)
        assert found is not None
        assert found.standing(NOW) == "live"
        other.call(lambda session: revoke_key(session, key.id, now=NOW))
        clock.time += FRESH_SECONDS
        found = await keyring.match(text)
        assert found is not None
        assert found.standing(clock.time) == "revoked"
        with pytest.raises(UserError, match="is revoked"):
            other.call(lambda session: rotate_key(session, key.id, now=NOW))


async def test_a_rotation_leaves_the_old_secret_for_the_grace_alone(
    database: Database, keyring: Keyring, clock: Clock
) -> None:
    key, old = database.call(lambda session: create_key(session, "turn", now=NOW))
    rotated, new = database.call(lambda session: rotate_key(session, key.id, now=NOW, grace_seconds=60))
    assert rotated.id == key.id
    for time, good in ((NOW + 59, True), (NOW + 60, False)):
        clock.time = time
        assert (await keyring.match(old) is not None) == good
        assert await keyring.match(new) is not None
    _, newest = database.call(lambda session: rotate_key(session, key.id, now=clock.time))
    clock.time += 1
    assert [await keyring.match(text) is not None for text in (old, new, newest)] == [False, False, True]


def test_what_is_not_there(database: Database) -> None:
    for change in (find_key, lambda session, id: revoke_key(session, id, now=NOW)):
        with pytest.raises(UserError) as caught:
            database.call(lambda session, change=change: change(session, "nope"))
        assert caught.value.status == 404
    assert database.call(list_keys) == []
