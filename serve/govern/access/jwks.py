"""An issuer's public keys, from a file or a URL: kept for a while, fetched again when a token names one that is not there."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import structlog
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import ECKey, KeySet, OctKey, OKPKey, RSAKey

from dovetail.serve.errors import EngineError

PublicKey = OctKey | RSAKey | ECKey | OKPKey

KEPT_SECONDS = 300.0
"""After this, keys are fetched again while the old ones are in use."""
STALE_SECONDS = 86_400.0
"""After this, keys that could not be fetched again are used no more: the issuer may have withdrawn one."""
AGAIN_SECONDS = 5.0
"""The least time between two fetches: tokens with invented key ids must not make this server a burden to the issuer."""
_FETCH_SECONDS = 5.0
_MOST_BYTES = 1024 * 1024

log: structlog.stdlib.BoundLogger = structlog.get_logger("dovetail.govern")


class IssuerUnavailable(EngineError):
    """No keys to check tokens with."""

    default_code = "issuer_unavailable"


class Jwks:
    """The key set at ``where``, a file's path or a URL."""

    def __init__(self, where: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._where = where
        self._clock = clock
        self._keys: KeySet | None = None
        self._fetched = float("-inf")
        self._tried = float("-inf")
        self._fetching: asyncio.Task[None] | None = None

    async def key(self, key_id: str | None) -> PublicKey | None:
        """The key of this id; the only one, where no id is given. None: the issuer has no such key.

        Raises:
            IssuerUnavailable: the keys cannot be had.
        """
        now = self._clock()
        if self._keys is None or now - self._fetched > STALE_SECONDS:
            await self._fetch()
        elif now - self._fetched > KEPT_SECONDS and now - self._tried > AGAIN_SECONDS:
            self._begin()
        found = self._find(key_id)
        if found is None and self._clock() - self._tried > AGAIN_SECONDS:
            await self._fetch()
            found = self._find(key_id)
        if self._keys is None or self._clock() - self._fetched > STALE_SECONDS:
            raise IssuerUnavailable("The keys of the identity provider cannot be fetched; try again later.")
        return found

    def _find(self, key_id: str | None) -> PublicKey | None:
        if self._keys is None:
            return None
        try:
            return self._keys.get_by_kid(key_id)
        except InvalidKeyIdError:
            return None

    def _begin(self) -> asyncio.Task[None]:
        """The fetch that is going on, or a new one: never two at a time."""
        if self._fetching is None or self._fetching.done():
            self._tried = self._clock()
            self._fetching = asyncio.create_task(self._read(), name="jwks")
        return self._fetching

    async def _fetch(self) -> None:
        # Shielded: others may wait for the same fetch when this caller leaves.
        await asyncio.shield(self._begin())

    async def _read(self) -> None:
        try:
            text = await self._text()
            keys = KeySet.import_key_set(json.loads(text))
        except (OSError, httpx.HTTPError, JoseError, ValueError, KeyError, TypeError) as error:
            log.error("no keys of the issuer", where=self._where, error=str(error) or type(error).__name__)
            return
        self._keys, self._fetched = keys, self._clock()

    async def _text(self) -> bytes:
        if not self._where.startswith(("http://", "https://")):
            return await asyncio.to_thread(Path(self._where).read_bytes)
        async with (
            httpx.AsyncClient(timeout=_FETCH_SECONDS, trust_env=False) as client,
            client.stream("GET", self._where) as answer,
        ):
            answer.raise_for_status()
            body = bytearray()
            async for chunk in answer.aiter_bytes():
                body += chunk
                if len(body) > _MOST_BYTES:
                    raise ValueError("more than 1 MiB")
            return bytes(body)
