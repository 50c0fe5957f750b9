"""A PostgreSQL server of the test session's own, for whatever keeps things in one."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from pg8000 import dbapi

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


def empty_database(server: str) -> str:
    """The URL of a database that nobody has used."""
    name = f"d{uuid.uuid4().hex}"
    run_statement(server, f"CREATE DATABASE {name}")
    return f"{server}/{name}"


def run_statement(server: str, statement: str) -> None:
    """One statement outside of any transaction."""
    with contextlib.closing(dbapi.connect(**options_of(f"{server}/postgres"))) as connection:
        connection.autocommit = True
        connection.cursor().execute(statement)
