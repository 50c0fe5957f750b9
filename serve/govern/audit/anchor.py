"""The anchor: how many records a chain has and the last one's hash, in a file outside, sealed with a key if there is one.

Without it, records cut off at the end would not be missed.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from dovetail.serve.config.settings import ConfigError
from dovetail.serve.govern.audit.chain import GENESIS, Link

DATABASE = "the database"
"""Where a shared chain is, in messages."""


class Anchor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """``closed``: the writer ended in order, and nothing comes after this record."""

    name: str
    count: int = 0
    hash: str = GENESIS
    closed: bool = False
    time: str = ""
    seal: str = ""

    @classmethod
    def now(cls, name: str, link: Link, *, closed: bool) -> Anchor:
        """That the chain stands at ``link`` at this moment, not yet sealed."""
        stamp = datetime.now(UTC).isoformat(timespec="milliseconds")
        return cls(name=name, count=link.count, hash=link.hash, closed=closed, time=stamp)

    @property
    def link(self) -> Link:
        """Where the chain stood."""
        return Link(self.count, self.hash)


class AnchorProblem(ValueError):
    """An anchor that cannot be believed; the message says why."""


class Seal:
    """Seals anchors with a secret (HMAC-SHA256) or an Ed25519 key, and checks them; with a public key it only checks.

    Args:
        file: a PEM file with an Ed25519 key, or any other file of at least 32 bytes: the secret.

    Raises:
        ConfigError: the file cannot be used.
    """

    def __init__(self, file: Path) -> None:
        try:
            content = file.read_bytes()
            self._key: bytes | Ed25519PrivateKey | Ed25519PublicKey = _key_of(content)
        except OSError as error:
            raise ConfigError(f"The seal key {file} cannot be read: {error.strerror}.", param="audit_seal") from error
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise ConfigError(f"The seal key {file} cannot be used: {error}.", param="audit_seal") from error

    @property
    def can_seal(self) -> bool:
        """Whether this is more than a public key."""
        return not isinstance(self._key, Ed25519PublicKey)

    def over(self, anchor: Anchor) -> str:
        """The seal of an anchor."""
        assert not isinstance(self._key, Ed25519PublicKey)
        if isinstance(self._key, bytes):
            return hmac.new(self._key, _sealed_bytes(anchor), hashlib.sha256).hexdigest()
        return self._key.sign(_sealed_bytes(anchor)).hex()

    def fits(self, anchor: Anchor) -> bool:
        """Whether the anchor's seal was made with this key."""
        if isinstance(self._key, bytes):
            return hmac.compare_digest(self.over(anchor).encode(), anchor.seal.encode())
        public = self._key.public_key() if isinstance(self._key, Ed25519PrivateKey) else self._key
        try:
            public.verify(bytes.fromhex(anchor.seal), _sealed_bytes(anchor))
        except (InvalidSignature, ValueError):
            return False
        return True


def write_anchor(file: Path, anchor: Anchor, seal: Seal | None, *, durable: bool) -> None:
    """Replace the anchor at once: a reader sees the old one or this one. Raises OSError."""
    if seal is not None:
        anchor = msgspec.structs.replace(anchor, seal=seal.over(anchor))
    fresh = file.with_name(file.name + ".new")
    with fresh.open("wb") as out:
        out.write(msgspec.json.encode(anchor) + b"\n")
        if durable:
            out.flush()
            os.fsync(out.fileno())
    fresh.replace(file)


def read_anchor(file: Path, name: str, seal: Seal | None) -> Anchor:
    """The anchor of a chain. Raises FileNotFoundError and AnchorProblem."""
    try:
        anchor = msgspec.json.decode(file.read_bytes(), type=Anchor)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise AnchorProblem(f"the anchor {file} is damaged ({error})") from error
    if anchor.name != name:
        raise AnchorProblem(f"the anchor {file} is of the log {anchor.name!r}, not of {name!r}")
    if seal is not None and not seal.fits(anchor):
        raise AnchorProblem(f"the anchor {file} was not sealed with this key: it was changed, or the key is another")
    return anchor


def require_anchored(file: Path, name: str, seal: Seal | None, link: Link, place: str) -> None:
    """Raise a ConfigError unless a chain that stands at ``link`` is what its anchor says."""
    try:
        anchor = read_anchor(file, name, seal)
    except FileNotFoundError:
        if link.count == 0:
            return
        raise unlike(name, place, f"its anchor {file} is missing") from None
    except AnchorProblem as error:
        raise unlike(name, place, str(error)) from error
    if anchor.count > link.count or (anchor.count == link.count and anchor.link != link):
        raise unlike(
            name, place, f"its anchor has {anchor.count} records and the log {link.count}, or another last hash"
        )
    if anchor.closed and anchor.count != link.count:
        raise unlike(name, place, "records were added after it was closed")


def unlike(name: str, place: str, why: str) -> ConfigError:
    """What keeps a server from going on with a chain."""
    way = "take another --audit-name" if place == DATABASE else "move the folder and its anchor away"
    return ConfigError(
        f"The audit log {name!r} in {place} is not what was written: {why}. See `dovetail audit verify`; to start a new "
        f"log, {way}.",
        param="audit",
    )


def _key_of(content: bytes) -> bytes | Ed25519PrivateKey | Ed25519PublicKey:
    if content.startswith(b"-----BEGIN"):
        key = load_pem_public_key(content) if b"PUBLIC KEY" in content else load_pem_private_key(content, None)
        if not isinstance(key, Ed25519PrivateKey | Ed25519PublicKey):
            raise ValueError("it is no Ed25519 key")
        return key
    if len(content) < 32:
        raise ValueError("a secret must have at least 32 bytes")
    return content


def _sealed_bytes(anchor: Anchor) -> bytes:
    return msgspec.json.encode([anchor.name, anchor.count, anchor.hash, anchor.closed, anchor.time])
