"""What a deployment decides about its audit log, and where its files lie."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from dovetail.serve.config.server import AuditText, Fsync, Period, ServerConfig, WhenFull
from dovetail.serve.config.settings import ConfigError, both
from dovetail.serve.govern.store.database import POSTGRES

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_]{0,63}")


@dataclass(frozen=True, kw_only=True)
class AuditSettings:
    """``folder``, or ``database``, a PostgreSQL URL: where the records are. ``name``: of this server's chain; each server has its
    own. ``anchor``, ``keys`` None: beside, and in, the folder; with a database there is no anchor outside it then, and no texts.

    ``text`` full: prompts and outputs are kept too, encrypted with the key of their period. ``full`` says what happens where
    nothing can be written: requests are refused, or what is not written is counted. ``retention_days``: after that, a
    period's key is destroyed; None: never. ``seal``: a file with the key that seals the anchor.
    """

    folder: Path | None = None
    database: str | None = None
    name: str = "audit"
    anchor: Path | None = None
    keys: Path | None = None
    fsync: Fsync = "interval"
    interval_seconds: float = 1.0
    full: WhenFull = "refuse"
    text: AuditText = "digest"
    period: Period = "day"
    retention_days: int | None = None
    seal: Path | None = None
    queue: int = 10_000

    def __post_init__(self) -> None:
        if _NAME.fullmatch(self.name) is None:
            raise ConfigError(
                f"{both('audit_name')} must be of letters, digits and _, at most 64, not {self.name!r}.",
                param="audit_name",
            )
        if self.folder is None and self.text == "full" and self.keys is None:
            raise ConfigError(
                f"{both('audit_text')} full with a database needs {both('audit_keys')}: a folder outside it for the keys, since "
                "what a database was told to destroy stays in its log and its backups.",
                param="audit_keys",
            )

    @property
    def files(self) -> Path:
        """The folder, of a log that is kept in files."""
        assert self.folder is not None
        return self.folder

    @property
    def anchor_file(self) -> Path:
        """Where the last hash and the count are kept: outside the folder."""
        folder = self.files.resolve()
        return self.anchor if self.anchor is not None else folder.parent / f"{folder.name}.{self.name}.anchor"

    @property
    def key_folder(self) -> Path | None:
        """Where the periods' keys lie; None: there are none, nor texts."""
        if self.keys is not None or self.folder is None:
            return self.keys
        return self.folder / "keys"

    @property
    def lock_file(self) -> Path:
        """Held by the one writer."""
        return self.files / f"{self.name}.lock"

    def segments(self) -> list[Path]:
        """The files of this chain, oldest first."""
        pattern = re.compile(rf"{self.name}-[0-9]{{6}}-[0-9-]+\.jsonl")
        return sorted(path for path in self.files.glob(f"{self.name}-*.jsonl") if pattern.fullmatch(path.name))

    def period_of(self, time: float) -> str:
        """The period that a time is in, such as 2026-11-22."""
        return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d" if self.period == "day" else "%Y-%m")


def audit_settings(config: ServerConfig) -> AuditSettings | None:
    """What a server's configuration says of its audit log; None: it has none."""
    if config.audit is None:
        return None
    database = config.audit if config.audit.startswith(POSTGRES) else None
    return AuditSettings(
        folder=Path(config.audit) if database is None else None,
        database=database,
        name=config.audit_name or ("audit" if database is None else machine_name()),
        anchor=config.audit_anchor,
        keys=config.audit_keys,
        fsync=config.audit_fsync,
        full=config.audit_full,
        text=config.audit_text,
        period=config.audit_period,
        retention_days=config.audit_retention_days,
        seal=config.audit_seal,
    )


def machine_name() -> str:
    """This machine's name as a chain's."""
    return re.sub(r"[^A-Za-z0-9]", "_", socket.gethostname()).strip("_")[:64] or "audit"
