"""The audit log of one server: events in from any thread, records out by one writer thread of its own."""

from __future__ import annotations

import contextlib
import hashlib
import os
import queue
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from dovetail.serve.config.settings import ConfigError
from dovetail.serve.errors import EngineError
from dovetail.serve.govern.audit.anchor import Anchor, AnchorProblem, Seal, read_anchor, write_anchor
from dovetail.serve.govern.audit.chain import line_of
from dovetail.serve.govern.audit.periods import PeriodKeys
from dovetail.serve.govern.audit.redact import redact, redact_name, redacted
from dovetail.serve.govern.audit.segment import Segment, lock, mend
from dovetail.serve.govern.audit.settings import AuditSettings

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


class AuditLog:
    """``record`` is cheap and never blocks; ``require`` raises where a request may not go on without its record.

    Args:
        constants: what is the same for every request, such as the model's digest.

    Raises:
        ConfigError: the log cannot be opened or is not what its anchor says.
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
        self._seal = Seal(settings.seal) if settings.seal is not None else None
        if self._seal is not None and not self._seal.can_seal:
            raise ConfigError("The seal key is a public key; sealing needs the private one.", param="audit_seal")
        self._lock = lock(settings)
        self.counts = Counts()
        self._keys = PeriodKeys(settings.key_folder, settings.name)
        self._segment: Segment | None = None
        self._period = ""
        self._unsynced = False
        self._synced_at = time.monotonic()
        self._lost_told = 0
        self._ended = threading.Event()
        self._queue: queue.SimpleQueue[_Entry | None] = queue.SimpleQueue()
        try:
            found = mend(settings)
            self._link = found.link
            self._require_anchored()
            # From here on the log is open: what is found behind this anchor after a crash was written by this server.
            self._anchor(closed=False)
        except ConfigError:
            self._lock.close()
            raise
        except OSError as error:
            self._lock.close()
            raise ConfigError(f"The audit log cannot be opened: {error}.", param="audit") from error
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
        self._thread.start()
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
        """Where its files lie."""
        return self._settings

    @property
    def waits(self) -> bool:
        """Whether a request has to wait until its record is on the disk."""
        return self._settings.fsync == "always"

    def close(self, timeout: float = 10.0) -> None:
        """Write what is queued, and a record of the end, and let the files go."""
        if self._ended.is_set():
            return
        self.record("stop", {})
        self._ended.set()
        self._queue.put(None)
        self._thread.join(timeout)
        self._lock.close()

    def _require_anchored(self) -> None:
        settings = self._settings
        try:
            anchor = read_anchor(settings.anchor_file, settings.name, self._seal)
        except FileNotFoundError:
            if self._link.count == 0:
                return
            raise self._unlike(f"its anchor {settings.anchor_file} is missing") from None
        except AnchorProblem as error:
            raise self._unlike(str(error)) from error
        if anchor.count > self._link.count or (anchor.count == self._link.count and anchor.link != self._link):
            raise self._unlike(
                f"its anchor has {anchor.count} records and the log {self._link.count}, or another last hash"
            )
        if anchor.closed and anchor.count != self._link.count:
            raise self._unlike("records were added after it was closed")

    def _unlike(self, why: str) -> ConfigError:
        return ConfigError(
            f"The audit log {self._settings.name!r} in {self._settings.folder} is not what was written: {why}. See `dovetail "
            "audit verify`; to start a new log, move the folder and its anchor away.",
            param="audit",
        )

    def _run(self) -> None:
        try:
            while True:
                wait = self._settings.interval_seconds if self._unsynced else None
                try:
                    entry = self._queue.get(timeout=wait)
                except queue.Empty:
                    self._tried(self._sync)
                    continue
                if entry is None:
                    break
                try:
                    self._write(entry)
                finally:
                    if not entry.written.done():
                        self._lose(entry)
            self._finish()
        finally:
            if not self._ended.is_set():
                self.counts.failing = "its writer ended; the server's log has the reason"
            self._give_up()

    def _finish(self) -> None:
        if self._segment is None:
            return
        with contextlib.suppress(OSError):
            if self._settings.fsync != "never":
                self._segment.sync()
            self._anchor(closed=True)
        self._segment.close()

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

    def _write(self, entry: _Entry) -> None:
        """Write one record, waiting for room where the settings say that none may be missing."""
        while not self._tried(lambda: self._append_all(entry)):
            if self._settings.full == "count" or self._ended.is_set():
                self._lose(entry)
                return
            self._ended.wait(_RETRY_SECONDS)
        due = time.monotonic() - self._synced_at >= self._settings.interval_seconds
        if self._settings.fsync == "always" or due:
            while not self._tried(self._sync):
                if self._settings.full == "count" or self._ended.is_set():
                    break
                self._ended.wait(_RETRY_SECONDS)
        entry.written.set_result(None)

    def _tried(self, work: Callable[[], None]) -> bool:
        """Whether it worked; if not, /metrics and requests are told why."""
        try:
            work()
        except OSError as error:
            self.counts.failing = error.strerror or str(error)
            return False
        self.counts.failing = None
        return True

    def _append_all(self, entry: _Entry) -> None:
        lost = self.counts.lost - self._lost_told
        self._turn_to(self._settings.period_of(entry.time), entry.time)
        if lost:
            self._append("lost", {"records": lost}, entry.time)
            self._lost_told += lost
        self._append(entry.kind, entry.fields, entry.time)

    def _append(self, kind: str, fields: Mapping[str, Any], at: float) -> None:
        assert self._segment is not None
        stamp = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line, link = line_of({"time": stamp, "kind": kind, **self._shown(fields)}, self._link)
        self._segment.append(line)
        self._link = link
        self._unsynced = True
        self.counts.records += 1

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
        """Go on in the segment of ``period``; a period once left is not gone back to. Old keys are destroyed on the way."""
        if self._segment is not None and period <= self._period:
            return
        segments = self._settings.segments()
        number = len(segments) + 1
        if self._segment is None and segments and segments[-1].stem.endswith(f"-{period}"):
            path = segments[-1]
        else:
            path = self._settings.folder / f"{self._settings.name}-{number:06}-{period}.jsonl"
        fresh = Segment(path)
        if self._segment is not None:
            self._segment.sync()
            self._segment.close()
        self._segment, self._period = fresh, period
        days = self._settings.retention_days
        if days is not None:
            destroyed = self._keys.destroy_before(self._settings.period_of(at - days * _DAY))
            if destroyed:
                self._append("keys_destroyed", {"periods": destroyed}, at)

    def _sync(self) -> None:
        assert self._segment is not None
        if self._settings.fsync != "never":
            self._segment.sync()
        self._anchor(closed=False)
        self._unsynced = False
        self._synced_at = time.monotonic()

    def _anchor(self, *, closed: bool) -> None:
        file = self._settings.anchor_file
        stamp = datetime.now(UTC).isoformat(timespec="milliseconds")
        anchor = Anchor(
            name=self._settings.name, count=self._link.count, hash=self._link.hash, closed=closed, time=stamp
        )
        write_anchor(file, anchor, self._seal, durable=self._settings.fsync != "never")


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
