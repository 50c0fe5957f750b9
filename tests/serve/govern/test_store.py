"""The database under governance, SQLite and PostgreSQL alike."""

from __future__ import annotations

import asyncio
import contextlib
import stat
import threading
from pathlib import Path

import pytest

from dovetail.serve.config import ConfigError
from dovetail.serve.govern.store import database as module
from dovetail.serve.govern.store.database import Database, Session, StoreError


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


def test_a_lost_connection_is_made_again(store_url: str, postgres: str) -> None:
    if not store_url.startswith("postgresql"):
        pytest.skip("SQLite has no connection to lose")
    import psycopg

    with contextlib.closing(Database(store_url)) as database:
        database.call(lambda session: add(session, 1))
        with psycopg.connect(f"{postgres}/postgres", autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
        assert database.call(numbers) == [1]
