"""Stored objects in a PostgreSQL database that several servers share. Knows no protocol and no record's form.

All statements run in one thread, in the order of the calls: what was put is found by whatever is asked after it. Reads wait for
the database, so they are made in other threads than the event loop's (``aside``).
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import structlog

from dovetail.serve.api.records import Change, Parameters, Record, Result
from dovetail.serve.api.store.claims import SharedClaims
from dovetail.serve.api.store.writes import Writes
from dovetail.serve.govern.store.database import Database, Session, StoreError, Work

log: structlog.stdlib.BoundLogger = structlog.get_logger("dovetail.api")

_GET = "SELECT record FROM stored_records WHERE kind = ? AND tenant = ? AND id = ?"
_PUT = """
INSERT INTO stored_records (kind, tenant, id, created, record) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (kind, tenant, id) DO UPDATE SET record = excluded.record
"""
_FIRST = """
INSERT INTO stored_records (kind, tenant, id, created, record) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (kind, tenant, id) DO NOTHING
"""
_DELETE = "DELETE FROM stored_records WHERE kind = ? AND tenant = ? AND id = ?"
NOBODY = ""
"""Whose records are those of servers that ask nobody for a key."""


class SharedRecords:
    """Records behind a URL.

    Args:
        url: ``postgresql://...``.
        tenant: says whose records are meant: nobody sees another's.

    Raises:
        ConfigError: the URL cannot be read, or PostgreSQL's client is not installed.
        StoreError: the database cannot be reached.
    """

    def __init__(self, url: str, *, tenant: Callable[[], str | None] = lambda: None) -> None:
        self._tenant = tenant
        self._database = Database(url)
        self._writes = Writes()
        self.claims = SharedClaims(self._database)

    def put(self, kind: str, id: str, record: Record) -> None:
        """Store or replace one record, in the database's own time."""
        self._write(_PUT, *self._row(kind, id, record))

    async def written(self) -> None:
        """Wait until the database holds all that was put and deleted so far. Raises StoreError where it does not."""
        await self._writes.done()

    async def aside(
        self, work: Callable[Parameters, Result], *args: Parameters.args, **named: Parameters.kwargs
    ) -> Result:
        """Do ``work`` in a thread, for the tenant who asks."""
        return await asyncio.to_thread(work, *args, **named)

    def get(self, kind: str, id: str) -> Record | None:
        """One record; None if there is none."""
        key = (kind, self._who(), id)
        found = self._now(lambda session: session.execute(_GET, *key))
        return json.loads(found[0][0]) if found else None

    def first(self, kind: str, id: str, record: Record) -> Record:
        """The record; ``record``, kept from now on, if there was none."""
        row = self._row(kind, id, record)

        def work(session: Session) -> Record:
            session.execute(_FIRST, *row)
            kept: Record = json.loads(session.execute(_GET, *row[:3])[0][0])
            return kept

        return self._database.call(work)

    def change(self, kind: str, id: str, change: Change) -> Record | None:
        """The record after ``change``; the row is locked meanwhile."""
        key = (kind, self._who(), id)

        def work(session: Session) -> Record | None:
            found = session.execute(_GET + " FOR UPDATE", *key)
            if not found:
                return None
            changed = change(json.loads(found[0][0]))
            session.execute(_PUT, *key, time.time(), _text(changed))
            return changed

        return self._now(work)

    def of_kind(self, kind: str) -> list[Record]:
        """All records of a kind, the oldest first."""
        return self._found("tenant = ?", kind, self._who())

    def of_everyone(self, kind: str) -> list[Record]:
        """The same, whoever's they are."""
        return self._found("TRUE", kind)

    def _found(self, condition: str, *values: object) -> list[Record]:
        select = f"SELECT record FROM stored_records WHERE kind = ? AND {condition} ORDER BY created, id"
        return [json.loads(row[0]) for row in self._now(lambda session: session.execute(select, *values))]

    def delete(self, kind: str, id: str) -> bool:
        """Whether there was such a record, which is gone now."""
        key = (kind, self._who(), id)
        return bool(self._now(lambda session: session.execute(_DELETE + " RETURNING id", *key)))

    def delete_kind(self, kind: str) -> None:
        """Forget all records of a kind."""
        self._write("DELETE FROM stored_records WHERE kind = ? AND tenant = ?", kind, self._who())

    def close(self) -> None:
        """Give the database back, once all is written."""
        self._database.close()

    def _row(self, kind: str, id: str, record: Record) -> tuple[Any, ...]:
        return (kind, self._who(), id, time.time(), _text(record))

    def _who(self) -> str:
        return self._tenant() or NOBODY

    def _now(self, work: Work[Result]) -> Result:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return self._database.call(work)
        raise AssertionError("a shared store is asked aside: its answer may take a while")

    def _write(self, statement: str, *values: object) -> None:
        def work(session: Session) -> None:
            session.execute(statement, *values)

        write = self._database.submit(work)
        write.add_done_callback(self._wrote)
        self._writes.add(write)

    def _wrote(self, write: Future[None]) -> None:
        """In the database's thread."""
        error = write.exception()
        if error is not None:
            reason = error.message if isinstance(error, StoreError) else str(error)
            log.error("a record could not be stored", reason=reason)
            self._writes.failed(StoreError(f"The answer could not be stored: {reason}"))


def _text(record: Record) -> str:
    return json.dumps(record, ensure_ascii=False)
