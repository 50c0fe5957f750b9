"""The database under governance, SQLite and PostgreSQL alike."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from dovetail.serve.config.settings import ConfigError
from dovetail.serve.govern.store import database as module
from dovetail.serve.govern.store.database import Database, Session, StoreError
from dovetail.serve.govern.store.postgres import options_of


def numbers(session: Session) -> list[int]:
    return [row[0] for row in session.execute("SELECT value FROM numbers ORDER BY value")]


def add(session: Session, *values: int) -> None:
    session.execute("CREATE TABLE IF NOT EXISTS numbers (value BIGINT PRIMARY KEY)")
    for value in values:
        session.execute("INSERT INTO numbers VALUES (?)", value)


def test_a_transaction_is_kept_whole_or_not_at_all(database: Database) -> None:
    database.call(lambda session: add(session, 1, 2))
    with pytest.raises(StoreError):
        database.call(lambda session: add(session, 3, 1))
    with pytest.raises(ZeroDivisionError):
        database.call(lambda session: (add(session, 4), 1 // 0))
    assert database.call(numbers) == [1, 2]


async def test_the_event_loop_goes_on_meanwhile(database: Database) -> None:
    loop_went_on = threading.Event()
    asyncio.get_running_loop().call_soon(loop_went_on.set)
    assert await database.run(lambda session: loop_went_on.wait(30))


def test_what_was_kept_is_there_again_and_migrations_ran_once(store_url: str) -> None:
    with contextlib.closing(Database(store_url)) as first:
        first.call(lambda session: add(session, 7))
    with contextlib.closing(Database(store_url)) as second, contextlib.closing(Database(store_url)) as third:
        assert second.call(numbers) == third.call(numbers) == [7]
        assert len(second.call(lambda session: session.execute("SELECT * FROM schema_version"))) == 1


def test_an_older_database_is_brought_up_to_date(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with contextlib.closing(Database(store_url)):
        pass
    now = (*module.MIGRATIONS, ("CREATE TABLE later (value TEXT)", "INSERT INTO later VALUES ('here')"))
    monkeypatch.setattr(module, "MIGRATIONS", now)
    for _ in range(2):
        with contextlib.closing(Database(store_url)) as database:
            assert database.call(lambda session: session.execute("SELECT value FROM later")) == [("here",)]
    monkeypatch.setattr(module, "MIGRATIONS", now[:-1])
    with pytest.raises(ConfigError, match="newer Dovetail"):
        Database(store_url)


def test_many_open_an_empty_database_at_once(store_url: str) -> None:
    failures: list[Exception] = []

    def open_and_close() -> None:
        try:
            Database(store_url).close()
        except (StoreError, ConfigError) as error:
            failures.append(error)

    threads = [threading.Thread(target=open_and_close) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_a_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "govern.sqlite"
    with contextlib.closing(Database(str(path))) as database:
        database.call(lambda session: add(session, 1))
        assert {stat.S_IMODE(each.stat().st_mode) for each in tmp_path.iterdir()} == {0o600}


@pytest.mark.parametrize("url", ["/no/such/folder/x.sqlite", "postgresql://nobody@127.0.0.1:9/none"])
def test_a_database_that_is_not_there(url: str) -> None:
    with pytest.raises(StoreError):
        Database(url)


def test_a_lost_connection_is_made_again(store_url: str, lose_connections: Callable[[], None]) -> None:
    with contextlib.closing(Database(store_url)) as database:
        database.call(lambda session: add(session, 1))
        lose_connections()
        assert database.call(numbers) == [1]


def test_a_connection_that_is_lost_within_a_transaction_keeps_nothing(
    store_url: str, lose_connections: Callable[[], None]
) -> None:
    def work(session: Session) -> None:
        add(session, 1)
        lose_connections()
        add(session, 2)

    with contextlib.closing(Database(store_url)) as database:
        with pytest.raises(StoreError, match="cannot be used"):
            database.call(work)
        database.call(lambda session: add(session, 3))
        assert database.call(numbers) == [3]


@pytest.mark.parametrize(
    ("url", "told"),
    [
        (
            "postgresql://u:p%40w@db:6000/x",
            {"user": "u", "password": "p@w", "host": "db", "port": 6000, "database": "x"},
        ),
        ("postgresql://u@db/x?sslmode=disable", {"host": "db", "port": 5432, "ssl_context": False, "password": None}),
        ("postgres://u@db?sslmode=require", {"database": "u", "ssl_context": True}),
        ("postgresql://u@/x?host=/run/postgresql", {"unix_sock": "/run/postgresql/.s.PGSQL.5432", "database": "x"}),
    ],
)
def test_urls(url: str, told: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PGPASSWORD", raising=False)
    options = options_of(url)
    assert {name: options[name] for name in told} == told


def test_certificates_are_looked_at_where_that_is_asked_for() -> None:
    full, authority = (
        options_of(f"postgresql://u@db/x?sslmode={mode}")["ssl_context"] for mode in ("verify-full", "verify-ca")
    )
    assert full.verify_mode == authority.verify_mode == ssl.CERT_REQUIRED
    assert full.check_hostname and not authority.check_hostname


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://db:port/x",
        "postgresql://db/x?sslmode=maybe",
        "postgresql://db/x?target_session_attrs=any",
        "postgresql://db/x?sslmode=verify-full&sslrootcert=/no/such/file",
        "postgresql://db/x?sslmode",
    ],
)
def test_urls_that_are_not_understood_are_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="database"):
        options_of(url)
