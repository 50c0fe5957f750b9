"""From the settings of an audit log to what keeps its chain: files, or a table that several servers share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from dovetail.serve.govern.audit.anchor import Seal
from dovetail.serve.govern.audit.chain import Link
from dovetail.serve.govern.audit.files import FileChain
from dovetail.serve.govern.audit.segment import Found
from dovetail.serve.govern.audit.settings import AuditSettings
from dovetail.serve.govern.audit.shared import SharedChain


class Keeper(Protocol):
    """Keeps one chain for its one writer, on the writer's thread. What cannot be written now is an OSError or a StoreError.

    ``found``: what an earlier writer left; ``link``: where the chain stands; ``at_once``: lines that are written together at most;
    ``idle_s``: how often ``sync`` is called where nothing is written; None: never.
    """

    at_once: int
    idle_s: float | None
    found: Found
    link: Link

    def turn_to(self, period: str) -> None:
        """What is written from now on is of this period."""

    def settle(self) -> None:
        """Know where the chain stands, also after a ``write`` of which that was not told."""

    def write(self, lines: Sequence[bytes], times: Sequence[float], link: Link) -> None:
        """All the lines, after which the chain stands at ``link``, or none of them; the same call again writes none twice."""

    def sync(self) -> None:
        """Make what was written last, and anchor it."""

    def finish(self) -> None:
        """Nothing comes after what was written."""

    def release(self) -> None:
        """Let another writer in."""


def open_keeper(settings: AuditSettings, seal: Seal | None) -> Keeper:
    """Raises ConfigError where the chain cannot be opened, and StoreError where its database cannot be reached."""
    return SharedChain(settings, seal) if settings.database is not None else FileChain(settings, seal)
