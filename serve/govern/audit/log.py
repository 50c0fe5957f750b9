"""The audit log of one server: events in from any thread, records out by one writer thread of its own."""

from __future__ import annotations

import contextlib
import hashlib
import os
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from dovetail.serve.config.settings import ConfigError
from dovetail.serve.errors import EngineError
from dovetail.serve.govern.audit.anchor import Seal
from dovetail.serve.govern.audit.chain import Link, line_of
from dovetail.serve.govern.audit.opening import open_keeper
from dovetail.serve.govern.audit.periods import PeriodKeys
from dovetail.serve.govern.audit.redact import redact, redact_name, redacted
from dovetail.serve.govern.audit.settings import AuditSettings
from dovetail.serve.govern.store.database import StoreError

_DAY = 86_400
_RETRY_SECONDS = 0.5
_ONCE_SECONDS = 10.0


@dataclass(frozen=True)
class Private:
    """Text of users or models. Its digest is written, and the text itself only where the settings say so, encrypted.

    ``text``: it, or what finds it; asked by the writer, so that nobody waits for it.
    """

    text: str | Callable[[], str]


class AuditUnavailable(EngineError):
    """Nothing can be recorded, so nothing is done."""

    default_code = "audit_unavailable"


@dataclass
class Counts:
    """For /metrics. ``failing``: why nothing can be written now."""

    records: int = 0
    lost: int = 0
    failing: str | None = None


@dataclass
class _Entry:
    kind: str
    fields: Mapping[str, Any]
    time: float
    written: Future[None] = field(default_factory=Future)


@dataclass
class _Lines:
    """Entries as they are written. ``link``: where the chain stands after them; ``lost``, ``destroyed``: what is told of in them."""

    link: Link
    lost: int = 0
    destroyed: int = 0
    lines: list[bytes] = field(default_factory=list)
    times: list[float] = field(default_factory=list)


class AuditLog:
    """``record`` is cheap and never blocks; ``require`` raises where a request may not go on without its record.

    Args:
        constants: what is the same for every request, such as the model's digest.

    Raises:
        ConfigError: the log cannot be opened or is not what its anchor says.
        StoreError: its database cannot be reached.
    """

    def __init__(
        self,
        settings: AuditSettings,
        constants: Mapping[str, Any] | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.constants = dict(constants or {})
        self._settings = settings
        self._clock = clock
        seal = Seal(settings.seal) if settings.seal is not None else None
        if seal is not None and not seal.can_seal:
            raise ConfigError("The seal key is a public key; sealing needs the private one.", param="audit_seal")
        self._keeper = open_keeper(settings, seal)
        self.counts = Counts()
        self._keys = PeriodKeys(settings.key_folder, settings.name)
        self._period = ""
        self._destroyed: list[str] = []
        self._unsynced = False
        self._synced_at = time.monotonic()
        self._lost_told = 0
        self._ended = threading.Event()
        self._queue: queue.SimpleQueue[_Entry | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
        self._thread.start()
        found = self._keeper.found
        if found.torn is not None:
            self.record("repaired", {"torn": found.torn})
        self.left_in_order = found.kind in (None, "stop")

    def record(self, kind: str, fields: Mapping[str, Any]) -> Future[None]:
        """Queue a record; the future ends when it is written, and synced where the settings say ``always``."""
        entry = _Entry(kind, fields, self._clock())
        self._queue.put(entry)
        if not self._thread.is_alive():
            self._give_up()
        return entry.written

    def require(self) -> None:
        """Raise AuditUnavailable where nothing is being written and the settings say that requests are refused then."""
        if self._settings.full != "refuse":
            return
        if self.counts.failing is not None:
            raise AuditUnavailable(f"The audit log cannot be written ({self.counts.failing}), so requests are refused.")
        if self._queue.qsize() > self._settings.queue:
            raise AuditUnavailable("The audit log is written too slowly, so requests are refused for a moment.")

    @property
    def settings(self) -> AuditSettings:
        """Where it is kept."""
        return self._settings

    @property
    def waits(self) -> bool:
        """Whether a request has to wait until its record is kept for good."""
        return self._settings.fsync == "always"

    def close(self, timeout: float = 10.0) -> None:
        """Write what is queued, and a record of the end, and let the next writer in."""
        if self._ended.is_set():
            return
        self.record("stop", {})
        self._ended.set()
        self._queue.put(None)
        self._thread.join(timeout)
        self._keeper.release()

    def _run(self) -> None:
        try:
            while (batch := self._taken()) is not None:
                try:
                    self._write(batch)
                finally:
                    for entry in batch:
                        if not entry.written.done():
                            self._lose(entry)
            self._keeper.finish()
        finally:
            if not self._ended.is_set():
                self.counts.failing = "its writer ended; the server's log has the reason"
            self._give_up()

    def _taken(self) -> list[_Entry] | None:
        """What is to be written together; waits for it, and syncs meanwhile. None: the end."""
        while True:
            soon = self._unsynced or self.counts.failing is not None
            try:
                first = self._queue.get(timeout=self._settings.interval_seconds if soon else self._keeper.idle_s)
                break
            except queue.Empty:
                self._tried(self._sync)
        if first is None:
            return None
        batch = [first]
        with contextlib.suppress(queue.Empty):
            while len(batch) < self._keeper.at_once:
                entry = self._queue.get_nowait()
                if entry is None:
                    self._queue.put(None)  # the last of all; what came behind it is given up
                    break
                batch.append(entry)
        return batch

    def _give_up(self) -> None:
        """Nothing is written any more: tell those who wait."""
        with contextlib.suppress(queue.Empty):
            while True:
                entry = self._queue.get_nowait()
                if entry is not None:
                    self._lose(entry)

    def _lose(self, entry: _Entry) -> None:
        self.counts.lost += 1
        entry.written.set_exception(AuditUnavailable("The record could not be written."))

    def _write(self, batch: Sequence[_Entry]) -> None:
        """Write records, waiting for room where the settings say that none may be missing."""
        lines: _Lines | None = None

        def write() -> None:
            nonlocal lines
            if lines is None:
                self._keeper.settle()
                lines = self._lines_of(batch)
            self._keeper.write(lines.lines, lines.times, lines.link)

        while not self._tried(write):
            if self._settings.full == "count" or self._ended.is_set():
                for entry in batch:
                    self._lose(entry)
                return
            self._ended.wait(_RETRY_SECONDS)
        assert lines is not None
        del self._destroyed[: lines.destroyed]
        self._lost_told += lines.lost
        self.counts.records += len(lines.lines)
        self._unsynced = True
        due = time.monotonic() - self._synced_at >= self._settings.interval_seconds
        if self._settings.fsync == "always" or due:
            while not self._tried(self._sync):
                if self._settings.full == "count" or self._ended.is_set():
                    break
                self._ended.wait(_RETRY_SECONDS)
        for entry in batch:
            entry.written.set_result(None)

    def _tried(self, work: Callable[[], None]) -> bool:
        """Whether it worked; if not, /metrics and requests are told why."""
        try:
            work()
        except OSError as error:
            self.counts.failing = error.strerror or str(error)
            return False
        except StoreError as error:
            self.counts.failing = error.message.rstrip(".")
            return False
        self.counts.failing = None
        return True

    def _lines_of(self, batch: Sequence[_Entry]) -> _Lines:
        """The records, behind one of what was lost before them and one of the keys that their period destroyed."""
        lines = _Lines(self._keeper.link, self.counts.lost - self._lost_told)
        for number, entry in enumerate(batch):
            self._turn_to(self._settings.period_of(entry.time), entry.time)
            if len(self._destroyed) > lines.destroyed:
                self._add(lines, "keys_destroyed", {"periods": self._destroyed[lines.destroyed :]}, entry.time)
                lines.destroyed = len(self._destroyed)
            if lines.lost and number == 0:
                self._add(lines, "lost", {"records": lines.lost}, entry.time)
            self._add(lines, entry.kind, entry.fields, entry.time)
        return lines

    def _add(self, lines: _Lines, kind: str, fields: Mapping[str, Any], at: float) -> None:
        stamp = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line, lines.link = line_of({"time": stamp, "kind": kind, **self._shown(fields)}, lines.link)
        lines.lines.append(line)
        lines.times.append(at)

    def _shown(self, value: Any) -> Any:
        if isinstance(value, Private):
            text = value.text if isinstance(value.text, str) else value.text()
            shown: dict[str, Any] = {"digest": hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()}
            if self._settings.text == "full":
                shown.update(self._keys.encrypt(self._period, redact(text)))
            return shown
        if isinstance(value, Mapping):
            return {redact_name(str(key)): self._shown(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._shown(item) for item in value]
        return redacted(value)

    def _turn_to(self, period: str, at: float) -> None:
        """Go on in ``period``; one that was left is not gone back to. Old keys are destroyed on the way."""
        if period <= self._period:
            return
        self._keeper.turn_to(period)
        self._period = period
        days = self._settings.retention_days
        if days is not None:
            self._destroyed += self._keys.destroy_before(self._settings.period_of(at - days * _DAY))

    def _sync(self) -> None:
        self._keeper.sync()
        self._unsynced = False
        self._synced_at = time.monotonic()


def record_once(settings: AuditSettings, kind: str, fields: Mapping[str, Any]) -> None:
    """Write one record of a command that runs and ends. Raises ConfigError and AuditUnavailable."""
    log = AuditLog(settings)
    try:
        log.record(kind, fields).result(_ONCE_SECONDS)
    except TimeoutError as error:
        raise AuditUnavailable(f"The audit log cannot be written ({log.counts.failing}).") from error
    finally:
        log.close()


def destroy_keys(settings: AuditSettings, before: str) -> list[str]:
    """Destroy the keys of all periods before ``before`` while no server writes, and record it. Raises ConfigError."""
    log = AuditLog(settings)
    try:
        destroyed = PeriodKeys(settings.key_folder, settings.name).destroy_before(before)
        log.record("keys_destroyed", {"periods": destroyed, "by": f"uid {os.getuid()}"}).result(_ONCE_SECONDS)
    finally:
        log.close()
    return destroyed
