"""The table of API keys: rows read and written inside a transaction. Every change counts a version up, for those who remember."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from dovetail.serve.errors import UserError
from dovetail.serve.govern.keys.key import Key, digest_of, fresh_id, fresh_secret, text_of
from dovetail.serve.govern.principal import Quota, Scopes
from dovetail.serve.govern.store.database import Row, Session

_COLUMNS = (
    "id, name, owner_group, scopes, quota, created, expires, revoked, salt, digest, earlier_digest, earlier_until"
)


def create_key(
    session: Session,
    name: str,
    *,
    now: float,
    group: str | None = None,
    scopes: Scopes | None = None,
    quota: Quota | None = None,
    expires: float | None = None,
) -> tuple[Key, str]:
    """A new key, and its text, which nothing can show again."""
    secret, salt, digest = fresh_secret()
    key = Key(
        id=fresh_id(),
        name=name,
        group=group,
        scopes=scopes or Scopes(),
        quota=quota or Quota(),
        created=now,
        expires=expires,
        revoked=None,
        salt=salt,
        digest=digest,
    )
    session.execute(
        f"INSERT INTO api_keys ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        key.id,
        name,
        group,
        msgspec.json.encode(key.scopes).decode(),
        msgspec.json.encode(key.quota).decode(),
        now,
        expires,
        None,
        salt,
        digest,
        None,
        None,
    )
    _changed(session)
    return key, text_of(key.id, secret)


def rotate_key(session: Session, key_id: str, *, now: float, grace_seconds: float = 0.0) -> tuple[Key, str]:
    """A new secret for a key that opens something; the old one is good for ``grace_seconds`` more."""
    key = find_key(session, key_id)
    if key.standing(now) != "live":
        raise UserError(f"The key {key_id} is {key.standing(now)}; create another.", status=409, code="key_not_live")
    # The salt stays, so that one computation checks both secrets.
    secret, _, _ = fresh_secret()
    session.execute(
        "UPDATE api_keys SET digest = ?, earlier_digest = ?, earlier_until = ? WHERE id = ?",
        digest_of(key.salt, secret),
        key.digest,
        now + grace_seconds,
        key_id,
    )
    _changed(session)
    return find_key(session, key_id), text_of(key_id, secret)


def revoke_key(session: Session, key_id: str, *, now: float) -> Key:
    """The key, which opens nothing from now on."""
    key = find_key(session, key_id)
    if key.revoked is None:
        session.execute("UPDATE api_keys SET revoked = ? WHERE id = ?", now, key_id)
        _changed(session)
    return find_key(session, key_id)


def find_key(session: Session, key_id: str) -> Key:
    """The key of this id; a 404 if there is none."""
    # Not every database takes every character.
    rows = session.execute(f"SELECT {_COLUMNS} FROM api_keys WHERE id = ?", key_id) if key_id.isalnum() else []
    if not rows:
        raise UserError(f"There is no key {key_id!r}.", status=404, code="key_not_found", param="id")
    return _key(rows[0])


def list_keys(session: Session) -> Sequence[Key]:
    """All keys, the oldest first."""
    return [_key(row) for row in session.execute(f"SELECT {_COLUMNS} FROM api_keys ORDER BY created, id")]


def version(session: Session) -> int:
    """Another number after every change."""
    return int(session.execute("SELECT version FROM changes WHERE what = 'api_keys'")[0][0])


def _changed(session: Session) -> None:
    session.execute("UPDATE changes SET version = version + 1 WHERE what = 'api_keys'")


def _key(row: Row) -> Key:
    return Key(
        id=row[0],
        name=row[1],
        group=row[2],
        scopes=msgspec.json.decode(row[3], type=Scopes),
        quota=msgspec.json.decode(row[4], type=Quota),
        created=row[5],
        expires=row[6],
        revoked=row[7],
        salt=row[8],
        digest=row[9],
        earlier_digest=row[10],
        earlier_until=row[11],
    )
