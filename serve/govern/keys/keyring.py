"""Looks API keys up in memory, never older than half a second against the database. Knows no HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from dovetail.serve.govern.keys.key import NO_KEY, Key, parts_of
from dovetail.serve.govern.keys.table import list_keys, version
from dovetail.serve.govern.store.database import Database, Session

FRESH_SECONDS = 0.5
"""A revocation by any process holds everywhere within this time and that of one query."""


class Keyring:
    """The keys of a database.

    Args:
        now: seconds since 1970, for expiry.
        clock: seconds that never go back, for freshness.
    """

    def __init__(
        self, database: Database, now: Callable[[], float] = time.time, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.database = database
        self._now = now
        self._clock = clock
        self._keys: dict[str, Key] = {}
        self._version = -1
        self._checked = float("-inf")
        self._checking = asyncio.Lock()

    async def match(self, text: str) -> Key | None:
        """The key whose text this is, whatever its standing; None if there is none. Raises StoreError."""
        await self._freshen()
        now = self._now()
        parts = parts_of(text)
        key_id, secret = parts if parts is not None else ("", text)
        key = self._keys.get(key_id, NO_KEY)
        return key if key.fits(secret, now) else None

    async def by_id(self, key_id: str) -> Key | None:
        """The key of this id. Raises StoreError."""
        await self._freshen()
        return self._keys.get(key_id)

    async def size(self) -> int:
        """How many keys open something."""
        await self._freshen()
        now = self._now()
        return sum(key.standing(now) == "live" for key in self._keys.values())

    async def _freshen(self) -> None:
        if self._clock() - self._checked < FRESH_SECONDS:
            return
        async with self._checking:
            begun = self._clock()
            if begun - self._checked < FRESH_SECONDS:
                return
            found = await self.database.run(self._read)
            if found is not None:
                self._version, self._keys = found
            self._checked = begun

    def _read(self, session: Session) -> tuple[int, dict[str, Key]] | None:
        """All keys, where they changed since they were read. Runs on the database's thread."""
        current = version(session)
        if current == self._version:
            return None
        return current, {key.id: key for key in list_keys(session)}
