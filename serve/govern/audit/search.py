"""Searches logs from their end, a bounded stretch at a time, for a page that shows records. Decrypts nothing, verifies nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from dovetail.serve.errors import UserError
from dovetail.serve.govern.audit.chain import record_of
from dovetail.serve.govern.audit.settings import AuditSettings
from dovetail.serve.govern.audit.shared_reading import SharedLogs
from dovetail.serve.govern.audit.show import Filter

MOST_BYTES = 32 * 1024 * 1024
"""Read for one answer: a search goes on where it left off when it is asked again."""
_PIECE = 256 * 1024
_CURSOR = re.compile(r"(\d{6})-(\d{1,15})")
KEPT = "(kept, encrypted: dovetail audit show DIR)"
_CHAIN = ("prev", "hash")


@dataclass(frozen=True)
class Page:
    """Records, newest first. ``before``: where to go on; None: the beginning of the log was reached."""

    records: list[dict[str, Any]]
    before: str | None


def search(
    settings: AuditSettings, wanted: Filter, text: str = "", *, before: str | None = None, limit: int = 100
) -> Page:
    """The latest records that fit and whose line holds ``text``, whatever its case. Raises UserError for a bad cursor.

    Of a log in a database: those of all servers, which ``log`` tells apart; raises StoreError too.
    """
    needle = text.lower().encode()
    if settings.database is not None:
        return _search_shared(settings.database, wanted, needle, before, limit)
    found: list[dict[str, Any]] = []
    read = 0
    for number, path, end in _segments(settings, before):
        for line, start in _lines_backwards(path, end):
            read += len(line) + 1
            record = _fitting(line, wanted, needle)
            if record is not None:
                found.append(record)
            if len(found) == limit or read >= MOST_BYTES:
                return Page(found, f"{number:06}-{start}")
    return Page(found, None)


def _search_shared(url: str, wanted: Filter, needle: bytes, before: str | None, limit: int) -> Page:
    found: list[dict[str, Any]] = []
    read = 0
    with SharedLogs(url) as logs:
        for row in logs.newest_first(before):
            read += len(row.line)
            record = _fitting(row.line, wanted, needle)
            if record is not None:
                found.append({"log": row.chain, **record})
            if len(found) == limit or read >= MOST_BYTES:
                return Page(found, row.cursor)
    return Page(found, None)


def _segments(settings: AuditSettings, before: str | None) -> Iterator[tuple[int, Path, int | None]]:
    """Number, path, and where to begin (None: at the end), the latest first."""
    last, end = None, None
    if before is not None:
        match = _CURSOR.fullmatch(before)
        if match is None:
            raise UserError("before must be what an earlier answer said.", code="invalid_value", param="before")
        last, end = int(match[1]), int(match[2])
    for number, path in reversed(list(enumerate(settings.segments(), 1))):
        if last is None or number < last:
            yield number, path, None
        elif number == last:
            yield number, path, end


def _lines_backwards(path: Path, end: int | None) -> Iterator[tuple[bytes, int]]:
    """Lines and where they begin, the last one first; one that is still being written is left out."""
    with path.open("rb") as file:
        length = file.seek(0, 2)
        position = length if end is None else min(end, length)
        rest = b""
        while position > 0:
            size = min(_PIECE, position)
            position -= size
            file.seek(position)
            block = file.read(size) + rest
            begin = block.find(b"\n") + 1 if position else 0
            if position and not begin:
                rest = block  # a line longer than the piece
                continue
            rest, stop = block[:begin], position + len(block)
            for line in reversed(block[begin:].splitlines(keepends=True)):
                stop -= len(line)
                if line.endswith(b"\n"):
                    yield line[:-1], stop


def _fitting(line: bytes, wanted: Filter, needle: bytes) -> dict[str, Any] | None:
    if needle and needle not in line.lower():
        return None
    try:
        record = record_of(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if not wanted.fits(record):
        return None
    return {name: _shut(value) for name, value in record.items() if name not in _CHAIN}


def _shut(value: Any) -> Any:
    """Sealed texts as their digest: who may read them is decided by who has the keys, not by this page."""
    if isinstance(value, dict):
        if "sealed" in value and "period" in value:
            return {"digest": value.get("digest"), "text": KEPT}
        return {key: _shut(item) for key, item in value.items()}
    return [_shut(item) for item in value] if isinstance(value, list) else value
