"""The file that records are appended to: found, mended after a crash, locked, written whole lines at a time."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from dovetail.serve.config.settings import ConfigError
from dovetail.serve.govern.audit.chain import BrokenLine, Link, follow, record_of
from dovetail.serve.govern.audit.settings import AuditSettings


@dataclass(frozen=True)
class Found:
    """What an earlier writer left. ``kind``: of its last record; ``torn``: what was cut off behind that."""

    link: Link
    kind: str | None = None
    torn: dict[str, object] | None = None


def lock(settings: AuditSettings) -> BinaryIO:
    """The lock of the one writer, held until the file is closed. Raises ConfigError."""
    try:
        settings.files.mkdir(parents=True, exist_ok=True, mode=0o700)
        settings.lock_file.touch(mode=0o600)
        file = settings.lock_file.open("r+b")
    except OSError as error:
        raise ConfigError(
            f"The audit log {settings.folder} cannot be opened: {error.strerror}.", param="audit"
        ) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise ConfigError(
            f"Another server writes the audit log {settings.name!r} in {settings.folder}; give this one a name of its own "
            "with --audit-name.",
            param="audit_name",
        ) from error
    return file


def mend(settings: AuditSettings) -> Found:
    """Where the chain stands, from its last segment; a torn line at the end is taken away. Raises ConfigError."""
    segments = settings.segments()
    while segments and segments[-1].stat().st_size == 0:
        segments.pop().unlink()
    if not segments:
        return Found(Link())
    last = segments[-1]
    torn = _without_torn_line(last)
    if last.stat().st_size == 0:
        last.unlink()
        before = mend(settings)
        return Found(before.link, before.kind, torn)
    line = _last_line(last)
    try:
        record = record_of(line)
        link = follow(line, Link(int(record["seq"]), str(record["prev"])))
    except (BrokenLine, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"The last record of {last} is damaged: {error}. See `dovetail audit verify`; to start a new log, move the folder "
            "and its anchor away.",
            param="audit",
        ) from error
    return Found(link, str(record.get("kind")), torn)


class Segment:
    """An open segment. ``append`` writes a whole line, or nothing of it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._size = os.fstat(self._file).st_size
        self._torn = False

    def append(self, line: bytes) -> None:
        """Raises OSError, and then nothing of the line is left; where even that fails, the next call tries it first."""
        if self._torn:
            self._cut()
        done = 0
        try:
            while done < len(line):
                done += os.write(self._file, line[done:])
        except OSError:
            self._torn = done > 0
            with contextlib.suppress(OSError):
                self._cut()
            raise
        self._size += len(line)

    def sync(self) -> None:
        """Wait until all is on the disk. Raises OSError."""
        os.fdatasync(self._file)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _cut(self) -> None:
        os.ftruncate(self._file, self._size)
        self._torn = False


def _without_torn_line(path: Path) -> dict[str, object] | None:
    size = path.stat().st_size
    with path.open("r+b") as file:
        keep = _after_last_line_feed(file, size)
        if keep == size:
            return None
        file.seek(keep)
        torn = file.read()
        file.truncate(keep)
        os.fsync(file.fileno())
    return {"segment": path.name, "bytes": len(torn), "digest": hashlib.sha256(torn).hexdigest()}


def _last_line(path: Path) -> bytes:
    size = path.stat().st_size
    with path.open("rb") as file:
        begin = _after_last_line_feed(file, size - 1)
        file.seek(begin)
        return file.read(size - 1 - begin)


def _after_last_line_feed(file: BinaryIO, end: int) -> int:
    """The place behind the last line feed in front of ``end``; 0 if there is none."""
    while end > 0:
        begin = max(0, end - 65536)
        file.seek(begin)
        at = file.read(end - begin).rfind(b"\n")
        if at >= 0:
            return begin + at + 1
        end = begin
    return 0
