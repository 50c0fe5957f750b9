"""One database, used from one thread of its own: SQLite in a file or in memory, or PostgreSQL by URL. Knows no table.

Statements are written once for both, with ``?`` where a value goes.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol, TypeVar

from dovetail.serve.config.settings import ConfigError
from dovetail.serve.errors import EngineError
from dovetail.serve.govern.store.migrations import MIGRATIONS

Result = TypeVar("Result")
Row = tuple[Any, ...]

MEMORY = ":memory:"
POSTGRES = ("postgresql://", "postgres://")
_BUSY_SECONDS = 5.0


class StoreError(EngineError):
    """The database cannot be used now; nothing of the transaction was kept."""

    default_code = "store_unavailable"


class Session(Protocol):
    """One transaction."""

    def execute(self, statement: str, *values: object) -> list[Row]:
        """Run one statement; its rows, if it has any."""


Work = Callable[[Session], Result]
"""What is done in one transaction: all of it is kept, or nothing."""


class Backend(Protocol):
    """What a kind of database has to offer, on one thread."""

    def transaction(self) -> AbstractContextManager[Session]:
        """A transaction: kept at the end, undone on any error."""

    def lock_tables(self, session: Session) -> None:
        """Keep other processes from changing tables until the transaction ends."""

    def has_table(self, session: Session, name: str) -> bool:
        """Whether there is such a table."""

    def close(self) -> None:
        """Give the database back."""


class Database:
    """A database that is brought up to the newest version when it is opened.

    Args:
        url: a file's path, ``:memory:``, or ``postgresql://...``.

    Raises:
        ConfigError: PostgreSQL is asked for and its client is not installed, or the tables are of a newer version.
        StoreError: the database cannot be opened.
    """

    def __init__(self, url: str) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._backend: Backend | None = None
        try:
            self._thread.submit(self._open, url).result()
        except BaseException:
            self.close()
            raise

    def submit(self, work: Work[Result]) -> Future[Result]:
        """Queue ``work``; it is done in the order of the queue."""
        return self._thread.submit(self._do, work)

    def call(self, work: Work[Result]) -> Result:
        """Do ``work`` and wait for it. Never on an event loop."""
        return self.submit(work).result()

    async def run(self, work: Work[Result]) -> Result:
        """Do ``work`` while the event loop goes on."""
        return await asyncio.wrap_future(self.submit(work))

    def close(self) -> None:
        """Finish what is queued and give the database back."""
        self._thread.submit(self._shut).result()
        self._thread.shutdown()

    def _open(self, url: str) -> None:
        if url.startswith(POSTGRES):
            from dovetail.serve.govern.store.postgres import Postgres

            self._backend = Postgres(url)
        else:
            self._backend = _Sqlite(url)
        with self._backend.transaction() as session:
            self._backend.lock_tables(session)
            _migrate(session, self._backend.has_table(session, "schema_version"))

    def _shut(self) -> None:
        if self._backend is not None:
            self._backend.close()

    def _do(self, work: Work[Result]) -> Result:
        assert self._backend is not None
        with self._backend.transaction() as session:
            return work(session)


def _migrate(session: Session, is_known: bool) -> None:
    """Bring the tables up to date; where they are, nothing is asked for that a role may not do who may only use them."""
    if not is_known:
        session.execute("CREATE TABLE schema_version (version BIGINT NOT NULL)")
    found = session.execute("SELECT version FROM schema_version")
    version = found[0][0] if found else 0
    if version > len(MIGRATIONS):
        raise ConfigError(
            f"The database has tables of version {version}, and this Dovetail knows up to {len(MIGRATIONS)}: "
            "use the newer Dovetail that wrote it, or another database.",
            param="keys",
        )
    for statements in MIGRATIONS[version:]:
        for statement in statements:
            session.execute(statement)
    if not found:
        session.execute("INSERT INTO schema_version VALUES (?)", len(MIGRATIONS))
    elif version < len(MIGRATIONS):
        session.execute("UPDATE schema_version SET version = ?", len(MIGRATIONS))


class _Sqlite:
    """A file with a write-ahead log: other processes read and write it at the same time."""

    def __init__(self, path: str) -> None:
        try:
            if path != MEMORY:
                # Nobody else on the machine has to read who may do what.
                Path(path).touch(mode=0o600)
            self._connection = sqlite3.connect(path, isolation_level=None, timeout=_BUSY_SECONDS)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"The database {path} cannot be opened: {error}.") from error

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            with suppress(sqlite3.Error):
                self._connection.rollback()
            raise StoreError(f"The database cannot be used: {error}.") from error

    def lock_tables(self, session: Session) -> None:
        """An immediate transaction is alone already."""

    def has_table(self, session: Session, name: str) -> bool:
        return bool(session.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", name))

    def execute(self, statement: str, *values: object) -> list[Row]:
        return self._connection.execute(statement, values).fetchall()

    def close(self) -> None:
        self._connection.close()
