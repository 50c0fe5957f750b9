"""All batches of a server: started, found, cancelled, taken up again after a restart. Knows no HTTP route."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from typing import Any

import httpx
import structlog
from starlette.types import ASGIApp

from dovetail.serve.api.access.inside import OWNER, OnBehalf, on_behalf, owner_of
from dovetail.serve.api.access.visit import visiting
from dovetail.serve.api.batches.batch import KIND, LIVE, BatchBody, fresh_batch, move
from dovetail.serve.api.batches.files import Files
from dovetail.serve.api.batches.run import Asking, Run
from dovetail.serve.api.http.wire import refuse
from dovetail.serve.api.ids import fresh
from dovetail.serve.api.records import Record, Records
from dovetail.serve.api.settings import ApiSettings
from dovetail.serve.errors import UserError
from dovetail.serve.govern.access.access import Access
from dovetail.serve.govern.store.database import StoreError

MOST_LIVE = 64
"""Batches that are not over yet, and are run here."""

LOOK_S = 10.0
"""How often a server looks for batches that another one has left."""

log: structlog.stdlib.BoundLogger = structlog.get_logger("dovetail.api")


class Batches:
    """Runs batches against ``app``, the application they belong to.

    Whoever runs the application calls :meth:`resume` once, inside its event loop, and :meth:`close` in the end.
    """

    def __init__(
        self, app: ASGIApp, records: Records, files: Files, settings: ApiSettings, access: Access | None = None
    ) -> None:
        self._records = records
        self._files = files
        self._claims = records.claims
        self._runs: dict[str, Run] = {}
        self._asides: set[asyncio.Task[None]] = set()
        self._looking: asyncio.Task[None] | None = None
        transport = httpx.ASGITransport(
            app=OnBehalf(app, access if access is not None else Access()), raise_app_exceptions=False
        )
        self._asking = Asking(
            httpx.AsyncClient(transport=transport, base_url="http://batch", timeout=None),
            asyncio.Semaphore(settings.batch_concurrency),
            settings.batch_concurrency,
            settings.retry_after_seconds,
        )

    def resume(self) -> None:
        """Go on with every batch that an earlier process left unfinished; among several servers, also later with what others leave."""
        if self._claims.shared:
            self._looking = asyncio.create_task(self._look_for_more(), name="batches of others")
            return
        for batch in self._records.of_everyone(KIND):
            if batch["status"] in LIVE and batch["id"] not in self._runs:
                log.info("batch resumed", batch=batch["id"])
                on_behalf(batch, partial(self._start, batch))

    async def _look_for_more(self) -> None:
        while True:
            with suppress(StoreError):  # logged where the claims are kept
                for batch in await self._records.aside(self._records.of_everyone, KIND):
                    if batch["status"] in LIVE and batch["id"] not in self._runs:
                        await on_behalf(batch, partial(asyncio.create_task, self._take_up(batch["id"])))
            await asyncio.sleep(LOOK_S)

    async def _take_up(self, id: str) -> None:
        if not await self._claim(id):
            return
        batch = await self._records.aside(self._records.get, KIND, id)
        if batch is None or batch["status"] not in LIVE:  # it was ended meanwhile
            await self._claims.give_back(_name(id))
            return
        log.info("batch resumed", batch=id)
        self._start(batch)

    async def _claim(self, id: str) -> bool:
        def end(lost: bool) -> None:
            run = self._runs.get(id)
            if run is not None and lost:
                run.task.cancel()
            elif run is not None:
                run.cancel()

        return await self._claims.take(_name(id), end)

    async def create(self, body: BatchBody) -> Record:
        """A new batch, which is run from now on. Raises UserError where its file cannot be one of a batch."""
        file = await self._files.aside(self._files.find, body.input_file_id, "input_file_id")
        if file["purpose"] != "batch":
            refuse("input_file_id", "is no file that was uploaded for a batch")
        if len(self._runs) >= MOST_LIVE:
            raise UserError(f"The server has {MOST_LIVE} batches to run already.", status=429, code="too_many_batches")
        batch = {**fresh_batch(body), OWNER: owner_of(visiting().principal)}
        await self._claim(batch["id"])
        self._records.put(KIND, batch["id"], batch)
        await self._records.written()
        return self._start(batch).batch

    def find(self, id: str) -> Record:
        """The batch; a 404 if there is none."""
        batch = self._records.get(KIND, id)
        if batch is None:
            raise UserError(f"There is no batch {id!r}.", status=404, code="not_found", param="id")
        return self._runs[id].batch if id in self._runs else batch

    def listed(self) -> list[Record]:
        """All batches, the oldest first."""
        return self._records.of_kind(KIND)

    async def cancel(self, id: str) -> Record:
        """The batch, on its way to be cancelled; a 409 if it is over."""
        batch = await self._records.aside(self.find, id)
        if batch["status"] not in LIVE:
            raise UserError(f"The batch is {batch['status']}.", status=409, code="batch_over", param="id")
        if id not in self._runs and not await self._claim(id):
            await self._claims.end(_name(id), 0)
            move(batch, "cancelling")  # for this answer: whoever runs it writes so
            return batch
        run = self._runs.get(id) or self._start(batch)
        run.cancel()
        return run.batch

    def reads(self, file_id: str) -> bool:
        """Whether a batch that is not over needs this file."""
        batches = self.listed() if self._claims.shared else [run.batch for run in self._runs.values()]
        return any(batch["input_file_id"] == file_id and batch["status"] in LIVE for batch in batches)

    async def close(self) -> None:
        """Stop; what was not run yet is run when the next process resumes."""
        tasks = [*(run.task for run in self._runs.values()), *self._asides]
        if self._looking is not None:
            tasks.append(self._looking)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._claims.close()
        await self._asking.client.aclose()

    def _start(self, batch: dict[str, Any]) -> Run:
        run = Run(batch, self._records, self._files, self._asking)
        self._runs[batch["id"]] = run
        run.task.add_done_callback(lambda task: self._ended(batch["id"], task))
        return run

    def _ended(self, id: str, task: asyncio.Task[None]) -> None:
        self._runs.pop(id, None)
        if self._claims.shared:
            aside = asyncio.create_task(self._give_back(id))
            self._asides.add(aside)
            aside.add_done_callback(self._asides.discard)
        if not task.cancelled() and task.exception() is not None:
            log.error("batch stopped", batch=id, error_id=fresh("error"), exc_info=task.exception())

    async def _give_back(self, id: str) -> None:
        with suppress(StoreError):  # it runs out by itself
            await self._claims.give_back(_name(id))


def _name(id: str) -> str:
    """Of the claim on a batch."""
    return f"batch {id}"
