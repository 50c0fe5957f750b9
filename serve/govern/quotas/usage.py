"""What was used, by hour, caller, model and endpoint: gathered in memory, written once a second, reported. Knows no limit."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import structlog

from dovetail.serve.errors import UserError
from dovetail.serve.govern.quotas.gate import Asked
from dovetail.serve.govern.store.database import Database, Session, StoreError

By = Literal["key", "group", "model", "endpoint", "day", "hour"]
BY: tuple[By, ...] = get_args(By)

FLUSH_SECONDS = 1.0
HOUR = 3600

log: structlog.stdlib.BoundLogger = structlog.get_logger("dovetail.govern")

Slot = tuple[int, str, str, str, str, str]
"""Hour, principal, its name, its group, model, endpoint."""

_ADD = """
INSERT INTO usage_by_hour VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (hour, principal, owner_group, model, endpoint) DO UPDATE SET
    name = excluded.name, requests = usage_by_hour.requests + excluded.requests,
    refused = usage_by_hour.refused + excluded.refused,
    prompt_tokens = usage_by_hour.prompt_tokens + excluded.prompt_tokens,
    completion_tokens = usage_by_hour.completion_tokens + excluded.completion_tokens
"""
_WHOLE = re.compile(r"[0-9]{1,12}")
_COLUMN = {
    "key": "principal",
    "group": "owner_group",
    "model": "model",
    "endpoint": "endpoint",
    "day": "hour / 24 * 24",
    "hour": "hour",
}


@dataclass
class Amounts:
    """What one slot has come to since it was last written."""

    requests: int = 0
    refused: int = 0
    prompt: int = 0
    completion: int = 0


@dataclass(frozen=True)
class Line:
    """One line of a report. ``name``: of a key, else empty."""

    what: str
    name: str
    requests: int
    refused: int
    prompt_tokens: int
    completion_tokens: int


class UsageLog:
    """Writes what the gate tells it. What a crash loses is what the last second brought."""

    def __init__(self, database: Database, now: Callable[[], float] = time.time) -> None:
        self._database = database
        self._now = now
        self._gathered: dict[Slot, Amounts] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Task[None] | None = None

    def record(self, asked: Asked, prompt: int, completion: int, refused: bool) -> None:
        """Count one request. On the event loop; costs no write."""
        who = asked.principal
        slot = (int(self._now() // HOUR), who.id, who.name, who.group or "", asked.model, asked.endpoint)
        amounts = self._gathered.setdefault(slot, Amounts())
        amounts.requests += not refused
        amounts.refused += refused
        amounts.prompt += prompt
        amounts.completion += completion
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self._begin)

    async def flush(self) -> None:
        """Write what was gathered. What cannot be written is kept for the next time."""
        gathered, self._gathered = self._gathered, {}
        if not gathered:
            return
        try:
            await self._database.run(lambda session: _write(session, gathered))
        except StoreError as error:
            log.error("usage not written", error=error.message)
            for slot, amounts in gathered.items():
                kept = self._gathered.setdefault(slot, Amounts())
                kept.requests += amounts.requests
                kept.refused += amounts.refused
                kept.prompt += amounts.prompt
                kept.completion += amounts.completion

    async def close(self) -> None:
        """Write the rest."""
        if self._timer is not None:
            self._timer.cancel()
        if self._writing is not None:
            await asyncio.wait({self._writing})
        await self.flush()

    def _begin(self) -> None:
        self._timer = None
        self._writing = asyncio.create_task(self.flush(), name="usage")
        self._writing.add_done_callback(self._written)

    def _written(self, task: asyncio.Task[None]) -> None:
        if self._gathered and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self._begin)


def _write(session: Session, gathered: dict[Slot, Amounts]) -> None:
    for slot, amounts in gathered.items():
        session.execute(_ADD, *slot, amounts.requests, amounts.refused, amounts.prompt, amounts.completion)


def asked_report(by: str, since: str) -> tuple[By, float]:
    """What of usage a query asks for. Raises UserError."""
    known: dict[str, By] = {each: each for each in BY}
    if by not in known or not _WHOLE.fullmatch(since):
        raise UserError(f"by must be one of {', '.join(BY)}, and since seconds since 1970.", param="by")
    return known[by], float(since)


def report(session: Session, by: By, since: float = 0.0) -> Sequence[Line]:
    """The usage of all hours from ``since`` on, seconds since 1970, one line for each key, model, day, ..."""
    rows = session.execute(
        f"SELECT {_COLUMN[by]}, MAX(name), SUM(requests), SUM(refused), SUM(prompt_tokens), SUM(completion_tokens) "
        f"FROM usage_by_hour WHERE hour >= ? GROUP BY 1 ORDER BY 1",
        int(since // HOUR),
    )
    return [Line(_shown(by, row[0]), row[1] if by == "key" else "", *(int(value) for value in row[2:])) for row in rows]


def _shown(by: By, value: int | str) -> str:
    if by == "day":
        return time.strftime("%Y-%m-%d", time.gmtime(int(value) * HOUR))
    if by == "hour":
        return time.strftime("%Y-%m-%dT%H:00Z", time.gmtime(int(value) * HOUR))
    return str(value)
