"""PostgreSQL by URL, over pg8000: one connection that is made again when it was lost. Knows no table."""

from __future__ import annotations

import getpass
import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from dovetail.serve.config.settings import ConfigError
from dovetail.serve.govern.store.database import Row, Session, StoreError

if TYPE_CHECKING:
    from pg8000.dbapi import Connection

_PORT = 5432
_SECONDS = 10.0
"""How long to wait for a connection, and for any answer: a transaction waits for another no longer."""
_MIGRATION_LOCK = 0x64767431
"""Servers that start together change a database one after the other."""


class Postgres:
    """A database by its URL, as libpq takes them; see ``options_of`` for what of it is known. Raises ConfigError."""

    def __init__(self, url: str) -> None:
        try:
            from pg8000 import dbapi
        except ImportError as error:
            raise ConfigError(
                "PostgreSQL needs pg8000: install dovetail[postgres], or name a file instead.", param="keys"
            ) from error
        self._dbapi = dbapi
        self._failures = (dbapi.Error, OSError)
        self._options = options_of(url)
        self._connection: Connection | None = None

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """A transaction: kept at the end, undone on any error. Raises StoreError."""
        try:
            connection = self._begun()
            try:
                yield _Session(connection)
            except BaseException:
                self._undo(connection)
                raise
            connection.cursor().execute("COMMIT")
        except self._failures as error:
            if not isinstance(error, self._dbapi.DatabaseError):
                self.close()  # the connection, not a statement
            raise StoreError(f"The database cannot be used: {_words(error)}.") from error

    def lock_tables(self, session: Session) -> None:
        """Keep other processes from changing tables until the transaction ends."""
        session.execute("SELECT pg_advisory_xact_lock(?)", _MIGRATION_LOCK)

    def has_table(self, session: Session, name: str) -> bool:
        """Whether there is such a table, in a schema that is looked in."""
        return bool(session.execute("SELECT to_regclass(?) IS NOT NULL", name)[0][0])

    def close(self) -> None:
        """Give the connection back."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(*self._failures):
                connection.close()

    def _undo(self, connection: Connection) -> None:
        try:
            connection.cursor().execute("ROLLBACK")
        except self._failures:
            self.close()

    def _begun(self) -> Connection:
        """The connection, in a transaction; a new one where the old one was lost meanwhile."""
        if self._connection is not None:
            with suppress(*self._failures):
                self._connection.cursor().execute("BEGIN")
                return self._connection
            self.close()
        self._connection = self._dbapi.connect(**self._options, timeout=_SECONDS, application_name="dovetail")
        self._connection.autocommit = True
        self._connection.cursor().execute("BEGIN")
        return self._connection


class _Session:
    def __init__(self, connection: Connection) -> None:
        self._cursor = connection.cursor()

    def execute(self, statement: str, *values: object) -> list[Row]:
        self._cursor.execute(statement.replace("?", "%s") if values else statement, values)
        return [tuple(row) for row in self._cursor.fetchall()] if self._cursor.description is not None else []


def options_of(url: str) -> dict[str, Any]:
    """What pg8000 connects by: user, password, host, port and database of the URL, and ``host`` (a socket's folder), ``sslmode``
    and ``sslrootcert`` behind its question mark. Anything else raises ConfigError, as what is not understood might protect something.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or _PORT
        more = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
    except ValueError as error:
        raise ConfigError(f"The database's URL cannot be read: {error}.", param="keys") from error
    mode, certificates = more.pop("sslmode", "prefer"), more.pop("sslrootcert", None)
    folder = more.pop("host", None)
    if more:
        raise ConfigError(f"The database's URL has {', '.join(more)}, which Dovetail does not know.", param="keys")
    user = unquote(parts.username) if parts.username else os.environ.get("PGUSER") or getpass.getuser()
    options: dict[str, Any] = {
        "user": user,
        "password": unquote(parts.password) if parts.password else os.environ.get("PGPASSWORD"),
        "database": unquote(parts.path.lstrip("/")) or user,
    }
    if folder is not None and folder.startswith("/"):
        return {**options, "unix_sock": f"{folder}/.s.PGSQL.{port}"}
    host = folder or parts.hostname or "localhost"
    return {**options, "host": host, "port": port, "ssl_context": _encryption(mode, certificates)}


def _encryption(mode: str, certificates: str | None) -> ssl.SSLContext | bool | None:
    """As libpq's sslmode; None: where the server can, but no certificate is looked at."""
    if mode in ("verify-ca", "verify-full"):
        try:
            context = ssl.create_default_context(cafile=certificates)
        except OSError as error:
            raise ConfigError(f"The database URL's sslrootcert cannot be read: {error}.", param="keys") from error
        context.check_hostname = mode == "verify-full"
        return context
    known: dict[str, bool | None] = {"disable": False, "allow": None, "prefer": None, "require": True}
    if mode not in known:
        raise ConfigError(f"The database URL's sslmode {mode!r} is not known.", param="keys")
    return known[mode]


def _words(error: BaseException) -> str:
    """What the server or the connection said; pg8000 hands a server's fields on as a dictionary."""
    said = error.args[0] if error.args else ""
    return str(said.get("M", said) if isinstance(said, dict) else said or type(error).__name__).strip().rstrip(".")
