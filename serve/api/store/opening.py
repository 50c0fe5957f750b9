"""From where a deployment keeps its stored objects to the store that does it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from dovetail.serve.api.records import Records
from dovetail.serve.api.store.local import LocalRecords
from dovetail.serve.api.store.shared import SharedRecords
from dovetail.serve.govern.store.database import POSTGRES


def open_records(place: Path | str | None, tenant: Callable[[], str | None]) -> Records:
    """The store at ``place``: a file, a PostgreSQL URL, or None: in memory, gone with the process.

    Raises:
        ConfigError: the URL cannot be read, or PostgreSQL's client is not installed.
        EngineError: it cannot be used.
    """
    if isinstance(place, str) and place.startswith(POSTGRES):
        return SharedRecords(place, tenant=tenant)
    return LocalRecords(Path(place) if place is not None else None, tenant=tenant)
