"""Reads a log for people: records that fit a filter, their texts decrypted where the keys are still there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from dovetail.serve.govern.audit.chain import record_of
from dovetail.serve.govern.audit.periods import PeriodKeys
from dovetail.serve.govern.audit.settings import AuditSettings

GONE = "(its key was destroyed)"


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
                try:
                    record = record_of(line)
                except (msgspec.DecodeError, UnicodeDecodeError):
                    continue
                if wanted.fits(record):
                    yield {name: _opened(value, keys) for name, value in record.items()}


def _opened(value: Any, keys: PeriodKeys) -> Any:
    if isinstance(value, dict):
        if "sealed" in value and "period" in value:
            text = keys.decrypt(value)
            return {"digest": value.get("digest"), "text": text if text is not None else GONE}
        return {key: _opened(item, keys) for key, item in value.items()}
    if isinstance(value, list):
        return [_opened(item, keys) for item in value]
    return value
