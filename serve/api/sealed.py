"""Text that a client carries for the server and gives back: compressed, authenticated, opaque. Keeps at most its key.

Reasoning travels this way (``encrypted_content``, ``signature``) and so do compacted conversations. The seal proves that the
text is this deployment's own and unchanged. It hides nothing: the client was, or may be, shown the same text.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import zlib

from dovetail.serve.api.records import Records

PREFIX = "dv1."
MAX_TEXT_BYTES = 16 * 1024 * 1024
"""What a sealed text may unpack to; a seal of ours never holds more than a request does."""

_TAG_BYTES = 16
_NONCE_BYTES = 9


def kept_key(records: Records) -> bytes:
    """The key of a deployment that was given none: made once, and kept where its answers are."""
    return bytes.fromhex(records.first("key", "seal", {"key": secrets.token_hex(32)})["key"])


class Sealer:
    """Seals texts with one deployment's key.

    Args:
        key: any bytes that the deployment keeps to itself.
    """

    def __init__(self, key: bytes) -> None:
        self._key = hashlib.sha256(b"dovetail seal" + key).digest()

    def seal(self, purpose: str, text: str) -> str:
        """``text`` as an opaque word that only ``unseal`` with the same purpose accepts."""
        # No two seals are alike: Claude Code drops a thinking block whose signature it has seen before.
        packed = secrets.token_bytes(_NONCE_BYTES) + zlib.compress(text.encode(), 6)
        return PREFIX + base64.urlsafe_b64encode(self._tag(purpose, packed) + packed).decode("ascii")

    def unseal(self, purpose: str, sealed: str) -> str | None:
        """The text; None if the seal is foreign or damaged, or was made for another purpose."""
        if not sealed.startswith(PREFIX):
            return None
        try:
            raw = base64.b64decode(sealed[len(PREFIX) :].encode("ascii"), altchars=b"-_", validate=True)
        except (binascii.Error, UnicodeEncodeError):
            return None
        tag, packed = raw[:_TAG_BYTES], raw[_TAG_BYTES:]
        if not hmac.compare_digest(tag, self._tag(purpose, packed)):
            return None
        unpacker = zlib.decompressobj()
        text = unpacker.decompress(packed[_NONCE_BYTES:], MAX_TEXT_BYTES)
        return text.decode() if unpacker.eof else None

    def _tag(self, purpose: str, packed: bytes) -> bytes:
        mac = hmac.new(self._key, purpose.encode() + b"\0" + packed, hashlib.sha256)
        return mac.digest()[:_TAG_BYTES]
