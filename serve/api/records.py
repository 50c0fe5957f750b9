"""Stored objects: JSON records by kind and id in SQLite, in a file or in memory. Knows no protocol and no record's form."""

from __future__ import annotations

import json
import sqlite3
import time
from pathlib import Path
from typing import Any

Record = dict[str, Any]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS records (
    kind TEXT NOT NULL, id TEXT NOT NULL, created REAL NOT NULL, record TEXT NOT NULL, PRIMARY KEY (kind, id)
) WITHOUT ROWID
"""


class Records:
    """A table of records.

    Args:
        path: the database file; None: in memory, gone with the process.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._database = sqlite3.connect(path if path is not None else ":memory:", isolation_level=None)
        if path is not None:
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = NORMAL")
        self._database.execute(_SCHEMA)

    def put(self, kind: str, id: str, record: Record) -> None:
        """Store or replace one record."""
        row = (kind, id, time.time(), json.dumps(record, ensure_ascii=False))
        self._database.execute("INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?)", row)

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

    def close(self) -> None:
        """Give the file back."""
        self._database.close()
