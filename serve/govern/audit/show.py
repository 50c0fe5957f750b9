"""Reads logs for people: records that fit a filter, their texts decrypted where the keys are still there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from dovetail.serve.govern.audit.chain import record_of
from dovetail.serve.govern.audit.periods import PeriodKeys
from dovetail.serve.govern.audit.settings import AuditSettings
from dovetail.serve.govern.audit.shared_reading import SharedLogs

GONE = "(its key was destroyed)"
ELSEWHERE = "(encrypted; its keys were not named)"


@dataclass(frozen=True, kw_only=True)
class Filter:
    """None: any. ``who``: a principal's id or name; ``since``: the beginning of a time such as 2026-11-22T10."""

    who: str | None = None
    since: str | None = None
    endpoint: str | None = None
    decision: str | None = None

    def fits(self, record: dict[str, Any]) -> bool:
        """Whether a record is asked for."""
        who = record.get("who") or {}
        return (
            (self.who is None or self.who in (who.get("id"), who.get("name")))
            and (self.since is None or str(record.get("time", "")) >= self.since)
            and (self.endpoint is None or record.get("endpoint") == self.endpoint)
            and (self.decision is None or record.get("decision") == self.decision)
        )


def records(settings: AuditSettings, wanted: Filter) -> Iterator[dict[str, Any]]:
    """The records that fit, oldest first. A line that is no record is left to ``verify``."""
    keys = PeriodKeys(settings.key_folder, settings.name)
    for path in settings.segments():
        with path.open("rb") as file:
            for line in file:
                record = _fitting(line, wanted, keys)
                if record is not None:
                    yield record


def shared_records(
    url: str, wanted: Filter, chain: str | None = None, folder: Path | None = None
) -> Iterator[dict[str, Any]]:
    """The same of a database: of one chain, or of all, which ``log`` tells apart. ``folder``: of the keys. Raises StoreError."""
    keys: dict[str, PeriodKeys] = {}
    with SharedLogs(url) as logs:
        for row in logs.of_chain(chain) if chain is not None else logs.oldest_first():
            own = keys.setdefault(row.chain, PeriodKeys(folder, row.chain)) if folder is not None else None
            record = _fitting(row.line, wanted, own)
            if record is not None:
                yield {"log": row.chain, **record}


def _fitting(line: bytes, wanted: Filter, keys: PeriodKeys | None) -> dict[str, Any] | None:
    try:
        record = record_of(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return {name: _opened(value, keys) for name, value in record.items()} if wanted.fits(record) else None


def _opened(value: Any, keys: PeriodKeys | None) -> Any:
    if isinstance(value, dict):
        if "sealed" in value and "period" in value:
            if keys is None:
                return {"digest": value.get("digest"), "text": ELSEWHERE}
            text = keys.decrypt(value)
            return {"digest": value.get("digest"), "text": text if text is not None else GONE}
        return {key: _opened(item, keys) for key, item in value.items()}
    if isinstance(value, list):
        return [_opened(item, keys) for item in value]
    return value
