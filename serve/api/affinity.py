"""Where a conversation belongs: a word that is the same for all of its turns, by which a proxy keeps it on one server. Routes nothing.

The word is a digest with the deployment's key, so that it tells nobody what was asked, and two tenants' never meet. A word that
the client sent comes back as it was: the proxy has routed by it already.
"""

from __future__ import annotations

import array
import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence

HEADER = "x-dovetail-affinity"
FIRST_TOKENS = 512
"""Of a prompt that is no conversation: what makes two of them neighbours in a prefix cache."""

_WORD = re.compile(rb"[A-Za-z0-9._:\-]{8,128}")
_DIGEST_BYTES = 16


class Affinity:
    """Makes the words of one deployment.

    Args:
        key: the same on all of its servers; None: one of this process's own.
    """

    def __init__(self, key: bytes | None = None) -> None:
        self._key = hashlib.sha256(b"dovetail affinity" + (key or secrets.token_bytes(32))).digest()

    def of_name(self, tenant: str | None, name: str) -> str:
        """Of a conversation that the client has named, or of the text that it begins with."""
        return self._word(tenant, b"name", name.encode("utf-8", "surrogatepass"))

    def of_prompt(self, tenant: str | None, prompt: Sequence[int]) -> str:
        """Of a prompt's first tokens."""
        return self._word(tenant, b"prompt", array.array("q", prompt[:FIRST_TOKENS]).tobytes())

    def _word(self, tenant: str | None, kind: bytes, told: bytes) -> str:
        parts = (kind, (tenant or "").encode(), told)
        message = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
        return hmac.new(self._key, message, hashlib.sha256).digest()[:_DIGEST_BYTES].hex()


def sent_word(headers: Sequence[tuple[bytes, bytes]]) -> str | None:
    """The word that a request brings along; None: none, or none that a header should repeat."""
    for name, value in headers:
        if name == HEADER.encode() and _WORD.fullmatch(value):
            return value.decode("ascii")
    return None
