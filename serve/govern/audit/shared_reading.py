"""Reads the audit logs that servers share in a database, a stretch at a time. Verifies nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from dovetail.serve.errors import UserError
from dovetail.serve.govern.audit.anchor import Anchor
from dovetail.serve.govern.store.database import Database

_ROWS = 200
"""Asked for at a time: lines may hold whole prompts."""
_CURSOR = re.compile(r"(\d{1,15})-(\d{1,18})-([A-Za-z0-9_]{1,64})")
_SELECT = "SELECT chain, seq, at_ms, line FROM audit_records WHERE"
_BY_NUMBER = f"{_SELECT} chain = ? AND seq > ? ORDER BY seq LIMIT {_ROWS}"
_OLDEST_FIRST = f"{_SELECT} (at_ms, chain, seq) > (?, ?, ?) ORDER BY at_ms, chain, seq LIMIT {_ROWS}"
_NEWEST_FIRST = f"{_SELECT} (at_ms, chain, seq) < (?, ?, ?) ORDER BY at_ms DESC, chain DESC, seq DESC LIMIT {_ROWS}"
_CHAINS = """
SELECT c.name, c.count, c.hash, c.closed, c.time, c.seal,
    (SELECT MAX(r.seq) FROM audit_records r WHERE r.chain = c.name) FROM audit_chains c ORDER BY c.name
"""
_STRAY = """
SELECT DISTINCT chain FROM audit_records r WHERE NOT EXISTS (SELECT 1 FROM audit_chains c WHERE c.name = r.chain) ORDER BY chain
"""


@dataclass(frozen=True)
class Row:
    """``chain``: whose record it is; ``at_ms``: the time by which it is found."""

    chain: str
    seq: int
    at_ms: int
    line: bytes

    @property
    def cursor(self) -> str:
        """Where a search goes on behind this row."""
        return f"{self.at_ms}-{self.seq}-{self.chain}"


@dataclass(frozen=True)
class SharedAnchor:
    """A chain's row, and how many records there were at that moment, by the number of the last one."""

    anchor: Anchor
    records: int


class SharedLogs:
    """All chains of a database. Raises StoreError and ConfigError, as every method raises StoreError."""

    def __init__(self, url: str) -> None:
        self._database = Database(url)

    def __enter__(self) -> SharedLogs:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def anchors(self) -> dict[str, SharedAnchor]:
        """Every chain, as it stands."""
        found = self._database.call(lambda session: session.execute(_CHAINS))
        return {
            name: SharedAnchor(
                Anchor(name=name, count=count, hash=hash, closed=bool(closed), time=time, seal=seal),
                last + 1 if last is not None else 0,
            )
            for name, count, hash, closed, time, seal, last in found
        }

    def strays(self) -> list[str]:
        """Chains that have records and no row."""
        return [row[0] for row in self._database.call(lambda session: session.execute(_STRAY))]

    def of_chain(self, chain: str) -> Iterator[Row]:
        """One chain's records by their numbers."""
        after: tuple[object, ...] = (chain, -1)
        while rows := self._rows(_BY_NUMBER, after):
            yield from rows
            after = (chain, rows[-1].seq)

    def oldest_first(self) -> Iterator[Row]:
        """Records of all chains by their time."""
        after: tuple[object, ...] = (-1, "", -1)
        while rows := self._rows(_OLDEST_FIRST, after):
            yield from rows
            after = (rows[-1].at_ms, rows[-1].chain, rows[-1].seq)

    def newest_first(self, before: str | None = None) -> Iterator[Row]:
        """The same from the last one, or from behind a cursor, backwards. Raises UserError for a bad one."""
        place: tuple[object, ...] = (2**62, "", 0)
        if before is not None:
            match = _CURSOR.fullmatch(before)
            if match is None:
                raise UserError("before must be what an earlier answer said.", code="invalid_value", param="before")
            place = (int(match[1]), match[3], int(match[2]))
        while rows := self._rows(_NEWEST_FIRST, place):
            yield from rows
            place = (rows[-1].at_ms, rows[-1].chain, rows[-1].seq)

    def _rows(self, select: str, place: tuple[object, ...]) -> list[Row]:
        found = self._database.call(lambda session: session.execute(select, *place))
        return [Row(chain, seq, at_ms, line.encode()) for chain, seq, at_ms, line in found]
