"""One chain among those that several servers keep in one PostgreSQL database (docs/decisions/034). Knows lines and no records.

Every batch is a transaction: the chain's row is locked, must be as this writer left it, and moves on with its lines or not at all.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Iterator, Sequence

from dovetail.serve.config.settings import ConfigError
from dovetail.serve.govern.audit.anchor import DATABASE, Anchor, Seal, require_anchored, unlike, write_anchor
from dovetail.serve.govern.audit.chain import BrokenLine, Link, follow, record_of
from dovetail.serve.govern.audit.segment import Found
from dovetail.serve.govern.audit.settings import AuditSettings
from dovetail.serve.govern.store.database import Database, Session, StoreError

LEASE_S = 20.0
"""A writer that is not heard of for so long may be succeeded by another of its name."""
_BEAT_S = 5.0
_LOOK_S = 0.2
_STATEMENT_BYTES = 1 << 20

_NOW = "EXTRACT(EPOCH FROM clock_timestamp())"
_FIRST = """
INSERT INTO audit_chains (name, count, hash, closed, time, seal, writer, until) VALUES (?, ?, ?, 0, '', '', '', 0)
ON CONFLICT (name) DO NOTHING
"""
_ROW = f"""
SELECT count, hash, closed, time, seal, writer, until > {_NOW} FROM audit_chains WHERE name = ? FOR UPDATE
"""
_MOVE = f"""
UPDATE audit_chains SET count = ?, hash = ?, closed = ?, time = ?, seal = ?, writer = ?, until = {_NOW} + ? WHERE name = ?
"""
_INSERT = """
INSERT INTO audit_records (chain, seq, at_ms, line)
SELECT ?, ? + number - 1, stamp::bigint, line
FROM unnest(string_to_array(?, chr(10)), string_to_array(?, ',')) WITH ORDINALITY AS each (line, stamp, number)
"""
"""As few values as there can be: the client turns each one into bytes in Python."""
_LAST = "SELECT line, seq FROM audit_records WHERE chain = ? ORDER BY seq DESC LIMIT 1"


class SharedChain:
    """``link``: where the chain stands.

    Raises:
        ConfigError: it cannot be opened, another server writes it, or it is not what its anchor says.
        StoreError: the database cannot be reached.
    """

    at_once = 500
    idle_s: float | None = _BEAT_S

    def __init__(self, settings: AuditSettings, seal: Seal | None, *, lease_s: float = LEASE_S) -> None:
        assert settings.database is not None
        self._settings = settings
        self._seal = seal
        self._lease_s = lease_s
        self._writer = secrets.token_hex(16)
        self._beaten = 0.0
        self._doubted: Link | None = None
        self._database = Database(settings.database)
        try:
            self.found = self._taken()
            self.link = self.found.link
            self._anchor(closed=False)
        except OSError as error:
            self._database.close()
            raise ConfigError(f"The audit log's anchor cannot be written: {error}.", param="audit_anchor") from error
        except BaseException:
            self._database.close()
            raise

    def turn_to(self, period: str) -> None:
        """A table has no segments."""

    def settle(self) -> None:
        """Where the answer to a batch was lost, find out what became of it. Raises StoreError."""
        if self._doubted is not None:
            self.link = self._database.call(lambda session: self._stand(session, self._doubted))
            self._doubted = None

    def write(self, lines: Sequence[bytes], times: Sequence[float], link: Link) -> None:
        """Add lines, after which the chain stands at ``link``, or none of them. Raises StoreError; the same call again then adds
        nothing twice, whatever became of the one before."""

        def work(session: Session) -> None:
            if self._stand(session, link) == self.link:
                for statement, values in _insertions(self._settings.name, self.link.count, lines, times):
                    session.execute(statement, *values)
                self._set(session, link, closed=False)

        try:
            self._database.call(work)
        except StoreError:
            self._doubted = link
            raise
        self.link, self._doubted = link, None
        self._beaten = time.monotonic()

    def sync(self) -> None:
        """Be heard of, and write the anchor outside, where there is one. Raises StoreError and OSError."""
        self.settle()
        if time.monotonic() - self._beaten >= _BEAT_S:
            self._beat(closed=False)
        self._anchor(closed=False)

    def finish(self) -> None:
        """The writer's last word: nothing comes after this record."""
        with contextlib.suppress(StoreError, OSError):
            self.settle()
            self._beat(closed=True)
            self._anchor(closed=True)
        self._database.close()

    def release(self) -> None:
        """Another may write as soon as this one has finished, or is not heard of any more."""

    def _taken(self) -> Found:
        """What an earlier writer left, now that the chain is this one's."""
        deadline = time.monotonic() + self._lease_s + 2 * _LOOK_S
        while (found := self._database.call(self._take)) is None:
            if time.monotonic() > deadline:
                raise ConfigError(
                    f"Another server writes the audit log {self._settings.name!r} in this database; give this one a name of "
                    "its own with --audit-name.",
                    param="audit_name",
                )
            time.sleep(_LOOK_S)
        return found

    def _take(self, session: Session) -> Found | None:
        settings, none = self._settings, Link()
        if session.execute("SHOW server_encoding") != [("UTF8",)]:
            raise ConfigError("The audit log needs a database with the encoding UTF8.", param="audit")
        session.execute(_FIRST, settings.name, none.count, none.hash)
        count, hash, closed, stamp, seal, _, is_held = session.execute(_ROW, settings.name)[0]
        if is_held:
            return None
        anchor = Anchor(name=settings.name, count=count, hash=hash, closed=bool(closed), time=stamp, seal=seal)
        last = session.execute(_LAST, settings.name)
        link, kind = _last(last[0][0].encode()) if last else (none, None)
        if link != anchor.link or (last and last[0][1] != link.count - 1):
            raise unlike(settings.name, DATABASE, f"its row in audit_chains has {count} records, or another last hash")
        if self._seal is not None and count and not self._seal.fits(anchor):
            raise unlike(settings.name, DATABASE, "its row in audit_chains was not sealed with this key")
        if settings.anchor is not None:
            require_anchored(settings.anchor, settings.name, self._seal, link, DATABASE)
        self._set(session, link, closed=False)
        return Found(link, kind)

    def _stand(self, session: Session, other: Link | None) -> Link:
        """Where the chain stands, locked: as this writer left it, or at ``other``. Raises StoreError where it is neither."""
        rows = session.execute(_ROW, self._settings.name)
        if not rows or rows[0][5] != self._writer:
            raise StoreError(f"the audit log {self._settings.name!r} in the database was taken over by another server")
        stands = Link(rows[0][0], rows[0][1])
        if stands not in (self.link, other):
            raise StoreError(f"the audit log {self._settings.name!r} in the database is not what this server wrote")
        return stands

    def _set(self, session: Session, link: Link, *, closed: bool) -> None:
        anchor = Anchor.now(self._settings.name, link, closed=closed)
        seal = self._seal.over(anchor) if self._seal is not None else ""
        lease = 0.0 if closed else self._lease_s
        values = (link.count, link.hash, int(closed), anchor.time, seal, self._writer, lease, self._settings.name)
        session.execute(_MOVE, *values)

    def _beat(self, *, closed: bool) -> None:
        def work(session: Session) -> None:
            self._set(session, self._stand(session, None), closed=closed)

        self._database.call(work)
        self._beaten = time.monotonic()

    def _anchor(self, *, closed: bool) -> None:
        if self._settings.anchor is None:
            return
        anchor = Anchor.now(self._settings.name, self.link, closed=closed)
        write_anchor(self._settings.anchor, anchor, self._seal, durable=self._settings.fsync != "never")


def _last(line: bytes) -> tuple[Link, str]:
    """Where a chain stands after its last record, and that record's kind. Raises ConfigError."""
    try:
        record = record_of(line)
        return follow(line, Link(int(record["seq"]), str(record["prev"]))), str(record.get("kind"))
    except (BrokenLine, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"The audit log's last record in the database is damaged: {error}.", param="audit") from error


def _insertions(
    chain: str, seq: int, lines: Sequence[bytes], times: Sequence[float]
) -> Iterator[tuple[str, tuple[object, ...]]]:
    """Statements of bounded size: each has the connection's time limit to itself."""
    first, size = 0, 0
    for last, line in enumerate(lines, 1):
        size += len(line)
        if size > _STATEMENT_BYTES or last == len(lines):
            texts = b"".join(lines[first:last]).decode()[:-1]
            stamps = ",".join(str(round(at * 1000)) for at in times[first:last])
            yield _INSERT, (chain, seq + first, texts, stamps)
            first, size = last, 0
