"""Files of batches: kept, found, listed, dropped when their time is over. Knows no batch and no HTTP."""

from __future__ import annotations

import time
from collections.abc import Callable

from dovetail.serve.api.ids import fresh
from dovetail.serve.api.records import Parameters, Record, Records, Result
from dovetail.serve.errors import UserError

KIND, CONTENT = "file", "file.content"


class Files:
    """Text files among the stored records."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def add(
        self, purpose: str, filename: str, text: str, *, id: str | None = None, expire_after: int | None = None
    ) -> Record:
        """Keep a file, or replace the one of this ``id``. ``expire_after``: seconds; None: it is kept until it is deleted."""
        now = int(time.time())
        file: Record = {
            "id": id or fresh("file"),
            "object": "file",
            "bytes": len(text.encode()),
            "created_at": now,
            "expires_at": None if expire_after is None else now + expire_after,
            "filename": filename,
            "purpose": purpose,
            "status": "processed",
            "status_details": None,
        }
        self._records.put(CONTENT, file["id"], {"text": text})
        self._records.put(KIND, file["id"], file)
        return file

    async def aside(
        self, work: Callable[Parameters, Result], *args: Parameters.args, **named: Parameters.kwargs
    ) -> Result:
        """Do ``work``, which finds, lists or drops, without holding up the event loop."""
        return await self._records.aside(work, *args, **named)

    async def written(self) -> None:
        """Wait until all files are where they outlive the process, if they are to. Raises EngineError where they cannot be kept."""
        await self._records.written()

    def find(self, id: str, param: str = "id") -> Record:
        """The file; a 404 if there is none, or none any more."""
        file = self._records.get(KIND, id)
        if file is not None and _expired(file):
            self.drop(id)
            file = None
        if file is None:
            raise _missing(id, param)
        return file

    def text(self, id: str) -> str:
        """What the file holds; a 404 if there is no such file."""
        self.find(id)
        content = self._records.get(CONTENT, id)
        if content is None:
            raise _missing(id, "id")
        return content["text"]  # type: ignore[no-any-return]

    def listed(self, purpose: str | None) -> list[Record]:
        """All files, or those of one purpose, the oldest first."""
        for file in self._records.of_kind(KIND):
            if _expired(file):
                self.drop(file["id"])
        return [file for file in self._records.of_kind(KIND) if purpose in (None, file["purpose"])]

    def drop(self, id: str) -> None:
        """Delete a file."""
        self._records.delete(KIND, id)
        self._records.delete(CONTENT, id)


def _expired(file: Record) -> bool:
    return file["expires_at"] is not None and file["expires_at"] <= time.time()


def _missing(id: str, param: str) -> UserError:
    return UserError(f"There is no file {id!r}.", status=404, code="not_found", param=param)
