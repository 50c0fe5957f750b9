"""Databases of both kinds: SQLite in a file, and a PostgreSQL server of the test session's own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from postgres_server import empty_database, postgres, run_statement

from dovetail.serve.govern.store.database import Database

__all__ = ["postgres"]


@pytest.fixture(params=["sqlite", "postgres"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return str(tmp_path / "govern.sqlite")
    return empty_database(request.getfixturevalue("postgres"))


@pytest.fixture
def lose_connections(store_url: str, request: pytest.FixtureRequest) -> Callable[[], None]:
    """Ends every connection to the PostgreSQL server."""
    if not store_url.startswith("postgresql"):
        pytest.skip("SQLite has no connection to lose")
    kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
    server = request.getfixturevalue("postgres")
    return lambda: run_statement(server, kill)


@pytest.fixture
def database(store_url: str) -> Iterator[Database]:
    """An open database of each kind."""
    with contextlib.closing(Database(store_url)) as database:
        yield database
