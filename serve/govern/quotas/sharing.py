"""What servers on one database let in: each tells its own counts once a second, and counts what the others have told.

Nobody waits for the database while a request comes in, so servers together may let in, for about a second, what each of them alone
would. What a server has told is there again when it starts anew. Knows no limits and no requests.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Sequence
from typing import NamedTuple

import structlog

from dovetail.serve.govern.quotas.gate import WINDOWS, Gate
from dovetail.serve.govern.quotas.window import DAY, MINUTE, TICKS
from dovetail.serve.govern.store.database import Database, Session, StoreError

SHARE_SECONDS = 1.0
"""Between two exchanges."""
WAIT_SECONDS = 5.0
"""What others told longer ago is not relied on: a request waits for the next exchange."""
RENEW_SECONDS = 5.0
STREAMS_SECONDS = 15.0
"""Streams that were not told again for so long are of a server that is gone."""

CLEAN_SECONDS = 600.0
"""Between two deletions of what counts no more."""

STREAMS = "streams"
_ROWS_AT_ONCE = 100

log: structlog.stdlib.BoundLogger = structlog.get_logger("dovetail.govern")


class Count(NamedTuple):
    """An amount of one account: of a part of one of its windows, or (part 0) its streams."""

    account: str
    counter: str
    part: int
    amount: int


class Told(NamedTuple):
    """What another server has told."""

    version: int
    server: str
    told: Count


class Sharing:
    """Keeps a gate and a database in step.

    Args:
        clock: seconds that never go back.
    """

    def __init__(self, database: Database, gate: Gate, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._gate = gate
        self._clock = clock
        self._server = uuid.uuid4().hex
        self._seen = 0
        self._shared = clock()
        self._streams: dict[str, tuple[int, float]] = {}
        self._renewed: dict[tuple[str, str], float] = {}
        self._running: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._cleaned = clock()
        self._seen, told = database.call(begin)
        self._learn(told)
        gate.on_change = self._later

    async def fresh(self) -> None:
        """Have the counts of others, at most a few seconds old. Where the database fails, this server counts alone."""
        age = self._clock() - self._shared
        if age < SHARE_SECONDS:
            return
        running = self._begin()
        if age >= WAIT_SECONDS:
            await asyncio.shield(running)

    async def share(self) -> None:
        """One exchange."""
        untold = self._untold()
        try:
            self._seen, told = await self._database.run(lambda session: self._exchanged(session, untold))
        except StoreError as error:
            log.error("quotas not shared", error=error.message)
            for count in untold:
                self._tell_again(count)
        else:
            self._learn(told)
        self._shared = self._clock()
        self._forget_streams()
        if any(account.streams for account in self._gate.accounts.values()):
            self._later()  # to renew them

    async def close(self) -> None:
        """Tell the rest."""
        self._gate.on_change = lambda: None
        if self._running is not None:
            await asyncio.wait({self._running})
        if self._timer is not None:
            self._timer.cancel()
        await self.share()

    def _later(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SHARE_SECONDS, self._begin)

    def _begin(self) -> asyncio.Task[None]:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self.share(), name="quotas")
        return self._running

    def _exchanged(self, session: Session, untold: Sequence[Count]) -> tuple[int, list[Told]]:
        """On the database's thread."""
        if self._clock() - self._cleaned >= CLEAN_SECONDS:
            clean(session)
            self._cleaned = self._clock()
        return exchange(session, self._server, untold, self._seen)

    def _untold(self) -> list[Count]:
        now = self._clock()
        untold: list[Count] = []
        for name, account in self._gate.accounts.items():
            for counter, window in account.windows.items():
                untold += [Count(name, counter, part, amount) for part, amount in window.untold()]
            streams, when = self._streams.get(name, (0, now))
            if account.streams != streams or (streams and now - when >= RENEW_SECONDS):
                self._streams[name] = (account.streams, now)
                untold.append(Count(name, STREAMS, 0, account.streams))
        return untold

    def _tell_again(self, count: Count) -> None:
        if count.counter == STREAMS:
            self._streams.pop(count.account, None)
        else:
            self._gate.account(count.account).windows[count.counter].tell_again(count.part)

    def _learn(self, told: Sequence[Told]) -> None:
        for _, server, (name, counter, part, amount) in told:
            account = self._gate.account(name)
            if counter in WINDOWS:
                account.windows[counter].learn(part, server, amount)
            else:
                account.elsewhere[server] = amount
                self._renewed[name, server] = self._clock()

    def _forget_streams(self) -> None:
        gone = [key for key, when in self._renewed.items() if self._clock() - when >= STREAMS_SECONDS]
        for name, server in gone:
            del self._renewed[name, server]
            self._gate.account(name).elsewhere.pop(server, None)


def exchange(session: Session, server: str, untold: Sequence[Count], seen: int) -> tuple[int, list[Told]]:
    """Tell ``untold``; what others have told since version ``seen``, and the version now.

    Who tells holds the version until it is kept, so that nothing is told behind a version that others have seen.
    """
    if untold:
        [[version]] = session.execute(
            "UPDATE changes SET version = version + 1 WHERE what = 'quotas' RETURNING version"
        )
        for start in range(0, len(untold), _ROWS_AT_ONCE):
            rows = [(server, *count, version) for count in untold[start : start + _ROWS_AT_ONCE]]
            session.execute(
                f"INSERT INTO quota_counts VALUES {', '.join(['(?, ?, ?, ?, ?, ?)'] * len(rows))} "
                "ON CONFLICT (server, account, counter, part) "
                "DO UPDATE SET amount = excluded.amount, version = excluded.version",
                *(value for row in rows for value in row),
            )
    else:
        [[version]] = session.execute("SELECT version FROM changes WHERE what = 'quotas'")
    told = session.execute(
        "SELECT version, server, account, counter, part, amount FROM quota_counts "
        "WHERE version > ? AND version <= ? AND server <> ? ORDER BY version",
        seen,
        version,
        server,
    )
    return version, [Told(row[0], row[1], Count(*row[2:])) for row in told]


def begin(session: Session) -> tuple[int, list[Told]]:
    """All that still counts. Streams do not: whoever lives tells them again."""
    clean(session)
    session.execute("DELETE FROM quota_counts WHERE counter = ?", STREAMS)
    return exchange(session, "", (), 0)


def clean(session: Session) -> None:
    """Delete what counts no more. The version is held first, as in an exchange, so that no two wait for each other."""
    session.execute("UPDATE changes SET version = version WHERE what = 'quotas'")
    for span, counters in ((MINUTE, "%minute"), (DAY, "%day")):
        oldest = int(time.time() // (span / TICKS)) - TICKS
        session.execute("DELETE FROM quota_counts WHERE counter LIKE ? AND part < ?", counters, oldest)
