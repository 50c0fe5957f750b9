"""What governs one server, put together: who may come in, how much they get, where it is kept."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

from dovetail.serve.govern.access.access import Access
from dovetail.serve.govern.access.document import AccessFile, read_access_file
from dovetail.serve.govern.audit.log import AuditLog
from dovetail.serve.govern.keys.keyring import Keyring
from dovetail.serve.govern.quotas.gate import Gate
from dovetail.serve.govern.quotas.sharing import Sharing
from dovetail.serve.govern.quotas.usage import UsageLog
from dovetail.serve.govern.store.database import Database


@dataclass(frozen=True)
class Governance:
    """``usage``, ``sharing`` and ``database`` None: nothing is kept, and nobody is asked for a key. ``audit`` None: nothing is recorded."""

    access: Access = field(default_factory=Access)
    gate: Gate = field(default_factory=Gate)
    usage: UsageLog | None = None
    database: Database | None = None
    audit: AuditLog | None = None
    sharing: Sharing | None = None

    async def close(self) -> None:
        """Write what is still to be written, and give the database back."""
        if self.sharing is not None:
            await self.sharing.close()
        if self.usage is not None:
            await self.usage.close()
        if self.database is not None:
            self.database.close()
        if self.audit is not None:
            await asyncio.to_thread(self.audit.close)


def open_governance(keys: str | None, access: Path | None, *, certificates: bool = False) -> Governance:
    """The governance of a server with this database of keys, this access file, and client certificates or none.

    Blocks while it reads. Raises ConfigError and StoreError.
    """
    file = read_access_file(access) if access is not None else AccessFile()
    database = Database(keys) if keys is not None else None
    keyring = Keyring(database) if database is not None else None
    usage = UsageLog(database) if database is not None else None
    gate = Gate({name: group.quota for name, group in file.groups.items()}, usage.record if usage is not None else None)
    sharing = Sharing(database, gate) if database is not None else None
    return Governance(Access.of(file, keyring, certificates=certificates), gate, usage, database, sharing=sharing)
