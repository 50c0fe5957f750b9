"""Stored objects of one server: JSON records by kind and id in SQLite, in a file or in memory. Knows no protocol and no record's form.

A file is written by a thread of its own, in the order of the calls: a slow disk holds up no stream. What is on its way there
can be read already; ``written`` says when it is there.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import structlog

from dovetail.serve.api.records import Change, Parameters, Record, Result
from dovetail.serve.api.store.writes import Writes
from dovetail.serve.errors import EngineError

log: structlog.stdlib.BoundLogger = structlog.get_logger("dovetail.api")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS records (
    kind TEXT NOT NULL, id TEXT NOT NULL, created REAL NOT NULL, record TEXT NOT NULL, PRIMARY KEY (kind, id)
) WITHOUT ROWID
"""

_PUT = """
INSERT INTO records VALUES (?, ?, ?, ?) ON CONFLICT (kind, id) DO UPDATE SET record = excluded.record
"""

_OF = "\x1f"
"""Between a kind and whose records they are."""

MOST_CHARACTERS = 256 * 1024 * 1024
"""What is kept in memory; in a file, as much as the disk holds."""


class LocalRecords:
    """A table of records. In memory, the oldest make room for new ones.

    Args:
        path: the database file; None: in memory, gone with the process.
        most_characters: how much is kept in memory.
        tenant: says whose records are meant: nobody sees another's. None: everybody's.

    Raises:
        EngineError: the file cannot be used.
    """

    def __init__(
        self,
        path: Path | None = None,
        *,
        most_characters: int = MOST_CHARACTERS,
        tenant: Callable[[], str | None] = lambda: None,
    ) -> None:
        self.claims = NoClaims()
        self._tenant = tenant
        self._bounded = path is None
        self._most = most_characters
        self._characters = 0
        self._lock = threading.Lock()
        self._unwritten: dict[tuple[str, str], str | None] = {}
        self._writes = Writes()
        try:
            # Read by the caller's thread; written by it too, or by a thread of the file's own, over a connection of its own.
            self._database = self._writing = _opened(path)
            self._writer: ThreadPoolExecutor | None = None
            if path is not None:
                self._writing = _opened(path)
                self._writer = ThreadPoolExecutor(1, "records")
        except sqlite3.Error as error:
            raise EngineError(f"cannot keep stored answers in {path}: {error}") from error

    def put(self, kind: str, id: str, record: Record) -> None:
        """Store or replace one record. In memory: raises EngineError where it cannot be kept."""
        kind = self._own(kind)
        text = json.dumps(record, ensure_ascii=False)
        self._write((kind, id), text, _PUT, (kind, id, time.time(), text))
        if self._bounded:
            self._characters += len(text)
            if self._characters > self._most:
                self._make_room()

    async def written(self) -> None:
        """Wait until the file holds all that was put and deleted so far. Raises EngineError where it does not, as on a full disk."""
        await self._writes.done()

    async def aside(
        self, work: Callable[Parameters, Result], *args: Parameters.args, **named: Parameters.kwargs
    ) -> Result:
        """Do ``work``, here: nothing of it waits for longer than the disk."""
        return work(*args, **named)

    def first(self, kind: str, id: str, record: Record) -> Record:
        """The record; ``record``, kept from now on, if there was none."""
        kept = self.get(kind, id)
        if kept is None:
            self.put(kind, id, record)
        return record if kept is None else kept

    def change(self, kind: str, id: str, change: Change) -> Record | None:
        """The record after ``change``; None if there is none."""
        kept = self.get(kind, id)
        if kept is not None:
            kept = change(kept)
            self.put(kind, id, kept)
        return kept

    def get(self, kind: str, id: str) -> Record | None:
        """One record; None if there is none."""
        kind = self._own(kind)
        with self._lock:
            if (kind, id) in self._unwritten:
                text = self._unwritten[kind, id]
                return None if text is None else json.loads(text)
        found = self._database.execute("SELECT record FROM records WHERE kind = ? AND id = ?", (kind, id)).fetchone()
        return None if found is None else json.loads(found[0])

    def of_kind(self, kind: str) -> list[Record]:
        """All records of a kind, the oldest first. Waits for writes that are on their way."""
        return self._found("kind = ?", self._own(kind))

    def of_everyone(self, kind: str) -> list[Record]:
        """The same, whoever's they are."""
        prefix = kind + _OF
        return self._found("kind = ? OR substr(kind, 1, ?) = ?", kind, len(prefix), prefix)

    def _found(self, condition: str, *values: object) -> list[Record]:
        if self._writer is not None and self._writes:
            self._writer.submit(lambda: None).result()
        found = self._database.execute(f"SELECT record FROM records WHERE {condition} ORDER BY created, id", values)
        return [json.loads(row[0]) for row in found]

    def delete(self, kind: str, id: str) -> bool:
        """Whether there was such a record, which is gone now."""
        there = self.get(kind, id) is not None
        if there:
            self._drop(self._own(kind), id)
        return there

    def _drop(self, kind: str, id: str) -> None:
        self._write((kind, id), None, "DELETE FROM records WHERE kind = ? AND id = ?", (kind, id))

    def _own(self, kind: str) -> str:
        """The name under which the records of a kind are kept for whoever asks now."""
        tenant = self._tenant()
        return kind if tenant is None else kind + _OF + tenant

    def delete_kind(self, kind: str) -> None:
        """Forget all records of a kind."""
        kind = self._own(kind)
        with self._lock:
            own = [key for key in self._unwritten if key[0] == kind]
            self._unwritten.update(dict.fromkeys(own))
        self._write(None, None, "DELETE FROM records WHERE kind = ?", (kind,))

    def _write(self, key: tuple[str, str] | None, text: str | None, statement: str, values: tuple[object, ...]) -> None:
        """Change the record of ``key`` to ``text``, now or in the writer's own time."""
        if self._writer is None:
            self._execute(statement, values)
            return
        if key is not None:
            with self._lock:
                self._unwritten[key] = text
        self._writes.add(self._writer.submit(self._executed, key, text, statement, values))

    def _executed(
        self, key: tuple[str, str] | None, text: str | None, statement: str, values: tuple[object, ...]
    ) -> None:
        """In the writer's thread."""
        try:
            self._execute(statement, values)
        except EngineError as error:
            log.error("a record could not be stored", record=key, reason=error.message)
            self._writes.failed(error)
        finally:
            with self._lock:
                if key is not None and self._unwritten.get(key) is text:
                    self._unwritten.pop(key, None)

    def _execute(self, statement: str, values: tuple[object, ...]) -> None:
        try:
            self._writing.execute(statement, values)
        except sqlite3.Error as error:
            raise EngineError(f"The answer could not be stored: {error}.", status=500, code="store_failed") from error

    def _make_room(self) -> None:
        """Forget the oldest records until an eighth of the room is free."""
        counted = self._database.execute("SELECT kind, id, length(record) FROM records ORDER BY created").fetchall()
        self._characters = sum(length for _, _, length in counted)
        for kind, id, length in counted[:-1]:
            if self._characters <= self._most - self._most // 8:
                break
            self._drop(kind, id)
            self._characters -= length

    def close(self) -> None:
        """Give the file back, once all is written."""
        if self._writer is not None:
            self._writer.shutdown()
            self._writing.close()
        self._database.close()


class NoClaims:
    """There is no other server: everything is this one's."""

    shared = False

    async def take(self, name: str, on_end: Callable[[bool], object]) -> bool:
        """Always."""
        return True

    async def held(self, name: str) -> bool:
        """By no other server."""
        return False

    async def end(self, name: str, seconds: float) -> bool:
        """Nobody works on it."""
        return True

    async def give_back(self, name: str) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        """Nothing to do."""


def _opened(path: Path | None) -> sqlite3.Connection:
    database = sqlite3.connect(path if path is not None else ":memory:", isolation_level=None, check_same_thread=False)
    if path is not None:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
    database.execute(_SCHEMA)
    return database
