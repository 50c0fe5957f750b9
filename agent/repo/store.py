"""Facts of files kept on disk between runs: by content, in SQLite, below the user's cache folder.

A cache that cannot be opened, read or written is never an error: the facts are then found again.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import astuple
from functools import cache
from pathlib import Path
from typing import NamedTuple

from dovetail.agent.repo.files import Stamp
from dovetail.agent.repo.languages import PACKAGES

_SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (key TEXT PRIMARY KEY, raw BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS seen (
    path BLOB PRIMARY KEY, size INTEGER, modified INTEGER, changed INTEGER, inode INTEGER, at INTEGER, key TEXT
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
"""
_SPARE = 2_000
"""Facts of contents that no file has any more, kept for when one comes back, as on another branch."""


class Seen(NamedTuple):
    """A file as it was last read: its stamp, when that was taken (nanoseconds), and the key of its facts."""

    stamp: Stamp
    at: int
    key: str


def default_cache() -> Path:
    """The folder of all indexes of this user."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path("~/.cache").expanduser()) / "dovetail" / "index"


class Store:
    """What is known of one repository. ``folder`` None, or one inside ``root``: nothing is written to disk."""

    def __init__(self, root: Path, folder: Path | None) -> None:
        self._file: Path | None = None
        if folder is not None and not _inside(folder, root):
            name = hashlib.blake2b(os.fsencode(root), digest_size=12).hexdigest()
            self._file = folder / f"{name}.sqlite"
        self._database = self._open()

    @property
    def where(self) -> Path | None:
        """The file of the cache; None while it is kept in memory."""
        return self._file

    def seen(self) -> dict[str, Seen]:
        """Every file as it was last read."""
        with self._forgiving():
            rows = self._database.execute("SELECT path, size, modified, changed, inode, at, key FROM seen").fetchall()
            return {os.fsdecode(path): Seen(Stamp(*stamp), at, key) for path, *stamp, at, key in rows}
        return {}

    def facts(self, keys: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """The facts of those keys that are known."""
        wanted = sorted(set(keys))
        for start in range(0, len(wanted), 500):
            some = wanted[start : start + 500]
            marks = ",".join("?" * len(some))
            with self._forgiving():
                yield from self._database.execute(f"SELECT key, raw FROM facts WHERE key IN ({marks})", some).fetchall()

    def save(self, facts: Mapping[str, bytes], seen: Mapping[str, Seen], gone: Iterable[str], live: set[str]) -> None:
        """Keep new facts and stamps, drop those of files that are ``gone``, and old facts when they are many."""
        with self._forgiving(), self._database as database:
            database.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", facts.items())
            rows = [(os.fsencode(path), *astuple(entry.stamp), entry.at, entry.key) for path, entry in seen.items()]
            database.executemany("INSERT OR REPLACE INTO seen VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
            database.executemany("DELETE FROM seen WHERE path = ?", [(os.fsencode(path),) for path in gone])
            if facts:
                self._prune(database, live)

    def close(self) -> None:
        """Give the file back."""
        self._database.close()

    def _prune(self, database: sqlite3.Connection, live: set[str]) -> None:
        known = {key for (key,) in database.execute("SELECT key FROM facts")}
        spare = known - live
        if len(spare) > _SPARE + len(live):
            database.executemany("DELETE FROM facts WHERE key = ?", [(key,) for key in sorted(spare)])

    def _open(self) -> sqlite3.Connection:
        if self._file is not None:
            try:
                self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                return self._connect(str(self._file))
            except sqlite3.DatabaseError:
                self._file.unlink(missing_ok=True)
                try:
                    return self._connect(str(self._file))
                except sqlite3.Error:
                    self._file = None
            except OSError:
                self._file = None
        return self._connect(":memory:")

    def _connect(self, name: str) -> sqlite3.Connection:
        database = sqlite3.connect(name, timeout=0.5)
        database.executescript(_SCHEMA)
        current = database.execute("SELECT value FROM about WHERE name = 'version'").fetchone()
        if current is None or current[0] != version():
            with database:
                database.execute("DELETE FROM facts")
                database.execute("DELETE FROM seen")
                database.execute("INSERT OR REPLACE INTO about VALUES ('version', ?)", (version(),))
        return database

    @contextmanager
    def _forgiving(self) -> Iterator[None]:
        """Go on without the cache where the database fails: locked, full, damaged."""
        try:
            yield
        except sqlite3.Error:
            self._file = None
            self._database = self._connect(":memory:")


@cache
def version() -> str:
    """Names everything that facts depend on besides the content: this package, its queries, the grammars."""
    folder = Path(__file__).parent
    digest = hashlib.blake2b(digest_size=16)
    for file in sorted([*folder.glob("*.py"), *folder.glob("queries/*/*.scm")]):
        digest.update(file.read_bytes())
    for name in ("tree-sitter", *PACKAGES):
        digest.update(f"{name} {importlib.metadata.version(name)}".encode())
    return digest.hexdigest()


def _inside(folder: Path, root: Path) -> bool:
    return Path(os.path.realpath(folder)).is_relative_to(os.path.realpath(root))
