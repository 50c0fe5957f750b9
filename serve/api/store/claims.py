"""Which of several servers works on what, in their database: claims that run out when their server is not heard of.

Times are the database's own, so that servers' clocks may differ. Knows nothing of the work.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress

import structlog

from dovetail.serve.govern.store.database import Database, Session, StoreError

log: structlog.stdlib.BoundLogger = structlog.get_logger("dovetail.api")

HEARTBEAT_S = 2.0
LEASE_S = 20.0
"""A server that is not heard of for so long works on nothing any more."""

_NOW = "EXTRACT(EPOCH FROM clock_timestamp())"
_TAKE = f"""
INSERT INTO claims (name, server, until, ending) VALUES (?, ?, {_NOW} + ?, 0)
ON CONFLICT (name) DO UPDATE SET server = excluded.server, until = excluded.until, ending = 0
WHERE claims.until < {_NOW} OR claims.server = excluded.server
RETURNING name
"""
_HELD = f"SELECT 1 FROM claims WHERE name = ? AND until >= {_NOW}"
_BEAT = f"UPDATE claims SET until = {_NOW} + ? WHERE server = ? RETURNING name, ending"


class SharedClaims:
    """The claims of one server among others that use the same database."""

    shared = True

    def __init__(self, database: Database, *, heartbeat_s: float = HEARTBEAT_S, lease_s: float = LEASE_S) -> None:
        self._database = database
        self._server = secrets.token_hex(8)
        self._heartbeat_s = heartbeat_s
        self._lease_s = lease_s
        self._mine: dict[str, Callable[[bool], object]] = {}
        self._beating: asyncio.Task[None] | None = None

    async def take(self, name: str, on_end: Callable[[bool], object]) -> bool:
        """Whether ``name`` is this server's now. ``on_end`` is called when another server asks for its end, or (True) it is lost."""
        values = (name, self._server, self._lease_s)
        taken = bool(await self._database.run(lambda session: session.execute(_TAKE, *values)))
        if taken:
            self._mine[name] = on_end
            if self._beating is None:
                self._beating = asyncio.create_task(self._beat(), name="claims")
        return taken

    async def held(self, name: str) -> bool:
        """Whether a server that lives works on it."""
        return bool(await self._database.run(lambda session: session.execute(_HELD, name)))

    async def end(self, name: str, seconds: float) -> bool:
        """Ask whoever works on it to end that; whether nobody does any more, after ``seconds`` at most."""
        await self._database.run(lambda session: session.execute("UPDATE claims SET ending = 1 WHERE name = ?", name))
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while await self.held(name):  # noqa: ASYNC110 (another process ends it)
                    await asyncio.sleep(self._heartbeat_s / 10)
                return True
        return False

    async def give_back(self, name: str) -> None:
        """Work on it no more."""
        if self._mine.pop(name, None) is not None:
            values = (name, self._server)
            await self._database.run(
                lambda session: session.execute("DELETE FROM claims WHERE name = ? AND server = ?", *values)
            )

    async def close(self) -> None:
        """Give all back."""
        self._mine.clear()
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.gather(self._beating, return_exceptions=True)
            self._beating = None
        with suppress(StoreError):
            await self._database.run(
                lambda session: session.execute("DELETE FROM claims WHERE server = ?", self._server)
            )

    async def _beat(self) -> None:
        last = asyncio.get_running_loop().time()
        while True:
            await asyncio.sleep(self._heartbeat_s)
            before = dict(self._mine)
            try:
                kept = await self._database.run(self._renewed)
                last = asyncio.get_running_loop().time()
            except StoreError as error:
                log.warning("the shared store does not answer", reason=error.message)
                # Others may take over once the lease is over: by then, this server has let go.
                late = asyncio.get_running_loop().time() - last > self._lease_s - 2 * self._heartbeat_s
                kept = {} if late else dict.fromkeys(before, False)
            for name, on_end in before.items():
                if name not in self._mine:
                    continue
                if name not in kept:
                    del self._mine[name]
                if kept.get(name, True):
                    on_end(name not in kept)

    def _renewed(self, session: Session) -> Mapping[str, bool]:
        """The claims that are still this server's, and whether their end was asked for."""
        return {name: bool(ending) for name, ending in session.execute(_BEAT, self._lease_s, self._server)}
