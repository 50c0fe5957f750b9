"""Databases of both kinds: SQLite in a file, and a PostgreSQL server of the test session's own."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pg8000 import dbapi

from dovetail.serve.govern.store.database import Database
from dovetail.serve.govern.store.postgres import options_of


def postgres_program(name: str) -> str | None:
    """A program of PostgreSQL's server, on the path or where Debian keeps it."""
    found = shutil.which(name)
    places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return found or (str(places[-1]) if places else None)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL server, without a database."""
    initdb, pg_ctl = postgres_program("initdb"), postgres_program("pg_ctl")
    if initdb is None or pg_ctl is None:
        pytest.skip("no PostgreSQL server on this machine (Debian: apt-get install postgresql)")
    # The server refuses to run as root, and a socket's path must be short.
    user = "nobody" if os.getuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="pg") as folder, contextlib.ExitStack() as stack:
        if user is not None:
            shutil.chown(folder, user)
        data = f"{folder}/data"

        def run(*command: str) -> None:
            subprocess.run(command, user=user, check=True, cwd=folder, stdout=subprocess.DEVNULL, timeout=60)

        run(initdb, "-D", data, "-U", "dovetail", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        run(pg_ctl, "-D", data, "-l", f"{folder}/log", "-w", "-o", options, "start")
        stack.callback(run, pg_ctl, "-D", data, "-m", "immediate", "-w", "stop")
        yield f"postgresql://dovetail@127.0.0.1:{port}"


@pytest.fixture(params=["sqlite", "postgres"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return str(tmp_path / "govern.sqlite")
    server = request.getfixturevalue("postgres")
    name = f"d{uuid.uuid4().hex}"
    run_statement(server, f"CREATE DATABASE {name}")
    return f"{server}/{name}"


def run_statement(server: str, statement: str) -> None:
    """One statement outside of any transaction."""
    with contextlib.closing(dbapi.connect(**options_of(f"{server}/postgres"))) as connection:
        connection.autocommit = True
        connection.cursor().execute(statement)


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
