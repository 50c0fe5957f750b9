"""An API key: its text, what is kept of it, and the check of one against the other. Knows no database.

``dvt_<id>_<secret>``: the id names the key in lists; of the secret, 43 random letters and digits (256 bits), only a salted
HMAC is kept. So random a secret needs no slow hash: guessing is hopeless at any speed.
"""

from __future__ import annotations

import hmac
import secrets
import string
from hashlib import sha256
from typing import Literal

import msgspec

from dovetail.serve.govern.principal import Quota, Scopes

PREFIX = "dvt"
ID_LENGTH = 12
SECRET_LENGTH = 43
LONGEST_SECONDS = 100 * 365 * 86_400
"""How far ahead a key may expire, or an old secret be good."""
_ALPHABET = string.ascii_letters + string.digits

Standing = Literal["live", "expired", "revoked"]


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of a key. Times in seconds since 1970; ``earlier_digest``: of the secret before the last rotation,
    which is good until ``earlier_until``."""

    id: str
    name: str
    group: str | None
    scopes: Scopes
    quota: Quota
    created: float
    expires: float | None
    revoked: float | None
    salt: str
    digest: str
    earlier_digest: str | None = None
    earlier_until: float | None = None

    def standing(self, now: float) -> Standing:
        """Whether it opens anything."""
        if self.revoked is not None:
            return "revoked"
        if self.expires is not None and self.expires <= now:
            return "expired"
        return "live"

    def fits(self, secret: str, now: float) -> bool:
        """Whether this is the key's secret, or the one before while that is good. Takes the same time for any answer."""
        given = digest_of(self.salt, secret)
        fits_now = hmac.compare_digest(given, self.digest)
        fits_earlier = hmac.compare_digest(given, self.earlier_digest or _NOTHING)
        return fits_now or (fits_earlier and self.earlier_until is not None and now < self.earlier_until)


def fresh_id() -> str:
    """An id that no key has."""
    return _random(ID_LENGTH)


def fresh_secret() -> tuple[str, str, str]:
    """A secret, its salt and its digest."""
    secret, salt = _random(SECRET_LENGTH), secrets.token_hex(16)
    return secret, salt, digest_of(salt, secret)


def text_of(key_id: str, secret: str) -> str:
    """The key as its owner is shown it, once."""
    return f"{PREFIX}_{key_id}_{secret}"


def parts_of(text: str) -> tuple[str, str] | None:
    """Id and secret; None where this is no key's text."""
    parts = text.split("_")
    if len(parts) != 3 or parts[0] != PREFIX or not text.isascii():
        return None
    return parts[1], parts[2]


def digest_of(salt: str, secret: str) -> str:
    """What is kept of a secret."""
    return hmac.digest(bytes.fromhex(salt), secret.encode(), "sha256").hex()


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


_NOTHING = sha256(b"").hexdigest()
"""No secret has this digest: it is compared with where there is none."""

NO_KEY = Key(
    id="",
    name="",
    group=None,
    scopes=Scopes(),
    quota=Quota(),
    created=0.0,
    expires=None,
    revoked=0.0,
    salt="00" * 16,
    digest=_NOTHING,
)
"""Stands in for a key that is not there, so that an unknown id takes as long as a wrong secret."""
