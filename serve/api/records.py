"""Stored objects: JSON records by kind and id in SQLite, in a file or in memory. Knows no protocol and no record's form."""

from __future__ import annotations

import json
import sqlite3
import time
from pathlib import Path
from typing import Any

from dovetail.serve.errors import EngineError

Record = dict[str, Any]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS records (
    kind TEXT NOT NULL, id TEXT NOT NULL, created REAL NOT NULL, record TEXT NOT NULL, PRIMARY KEY (kind, id)
) WITHOUT ROWID
"""


MOST_CHARACTERS = 256 * 1024 * 1024
"""What is kept in memory; in a file, as much as the disk holds."""


class Records:
    """A table of records. In memory, the oldest make room for new ones.

    Args:
        path: the database file; None: in memory, gone with the process.
        most_characters: how much is kept in memory.

    Raises:
        EngineError: the file cannot be used.
    """

    def __init__(self, path: Path | None = None, *, most_characters: int = MOST_CHARACTERS) -> None:
        self._bounded = path is None
        self._most = most_characters
        self._characters = 0
        try:
            self._database = sqlite3.connect(path if path is not None else ":memory:", isolation_level=None)
            if path is not None:
                self._database.execute("PRAGMA journal_mode = WAL")
                self._database.execute("PRAGMA synchronous = NORMAL")
            self._database.execute(_SCHEMA)
        except sqlite3.Error as error:
            raise EngineError(f"cannot keep stored answers in {path}: {error}") from error

    def put(self, kind: str, id: str, record: Record) -> None:
        """Store or replace one record. Raises EngineError where it cannot be kept, as on a full disk."""
        text = json.dumps(record, ensure_ascii=False)
        try:
            replaced = self._database.execute(
                "SELECT created FROM records WHERE kind = ? AND id = ?", (kind, id)
            ).fetchone()
            row = (kind, id, replaced[0] if replaced is not None else time.time(), text)
            self._database.execute("INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?)", row)
        except sqlite3.Error as error:
            raise EngineError(f"The answer could not be stored: {error}.", status=500, code="store_failed") from error
        if self._bounded:
            self._characters += len(text)
            if self._characters > self._most:
                self._make_room()

    def get(self, kind: str, id: str) -> Record | None:
        """One record; None if there is none."""
        found = self._database.execute("SELECT record FROM records WHERE kind = ? AND id = ?", (kind, id)).fetchone()
        return None if found is None else json.loads(found[0])

    def of_kind(self, kind: str) -> list[Record]:
        """All records of a kind, the oldest first."""
        found = self._database.execute("SELECT record FROM records WHERE kind = ? ORDER BY created, id", (kind,))
        return [json.loads(row[0]) for row in found]

    def delete(self, kind: str, id: str) -> bool:
        """Whether there was such a record, which is gone now."""
        return self._database.execute("DELETE FROM records WHERE kind = ? AND id = ?", (kind, id)).rowcount > 0

    def delete_kind(self, kind: str) -> None:
        """Forget all records of a kind."""
        self._database.execute("DELETE FROM records WHERE kind = ?", (kind,))

    def _make_room(self) -> None:
        """Forget the oldest records until an eighth of the room is free."""
        counted = self._database.execute("SELECT kind, id, length(record) FROM records ORDER BY created").fetchall()
        self._characters = sum(length for _, _, length in counted)
        for kind, id, length in counted[:-1]:
            if self._characters <= self._most - self._most // 8:
                break
            self.delete(kind, id)
            self._characters -= length

    def close(self) -> None:
        """Give the file back."""
        self._database.close()
