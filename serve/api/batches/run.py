"""One batch being run: lines asked of the application itself, results kept one by one, files in the end. Knows no HTTP route."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from dovetail.serve.api.batches.batch import KIND, UNSCHEDULED, Ending, fail, kept_seconds, move
from dovetail.serve.api.batches.files import Files
from dovetail.serve.api.batches.lines import Line, answered, read_lines, unanswered, usage_of
from dovetail.serve.api.http.failures import body_of
from dovetail.serve.api.http.fields import not_available
from dovetail.serve.api.records import Record, Records
from dovetail.serve.errors import UserError
from dovetail.serve.govern.store.database import StoreError

PRIORITY = 100
"""Lines run behind requests that somebody waits for (0 by default); a line's own priority counts beyond it."""

ATTEMPTS = 3
"""How often a line is asked whose engine failed; one that the server has no room for is asked again until there is."""

_NO_ROOM = frozenset({"queue_full", "model_loading", "draining", "rate_limit_exceeded"})
_ENDINGS: dict[Ending, tuple[str, str]] = {
    "completed": ("result_lost", "The store in memory was full, and this result made room."),
    "expired": ("batch_expired", "The completion window was over before this request was run."),
    "cancelled": ("batch_cancelled", "The batch was cancelled before this request was run."),
}


@dataclass(frozen=True)
class Asking:
    """How lines are asked, by all batches of a server: through ``client``, with no more at a time than ``gate`` lets in."""

    client: httpx.AsyncClient
    gate: asyncio.Semaphore
    concurrency: int
    retry_seconds: float


class Run:
    """The running of one batch."""

    def __init__(self, batch: Record, records: Records, files: Files, asking: Asking) -> None:
        self.batch = batch
        self._records = records
        self._files = files
        self._asking = asking
        self._results = f"batch.result {batch['id']}"
        self._work: asyncio.Task[None] | None = None
        self.task = asyncio.create_task(self._run(), name="batch")

    def cancel(self) -> None:
        """Begin no more lines, give up those that are being run, and end."""
        if self.batch["status"] in ("validating", "in_progress"):
            move(self.batch, "cancelling")
            self._keep()
            if self._work is not None:
                self._work.cancel()

    def _keep(self) -> None:
        self._records.put(KIND, self.batch["id"], self.batch)

    async def _run(self) -> None:
        try:
            text = await self._files.aside(self._files.text, self.batch["input_file_id"])
        except UserError as error:
            fail(self.batch, [{"code": error.code, "message": error.message, "line": None, "param": "input_file_id"}])
            self._keep()
            return
        lines, errors = await asyncio.to_thread(read_lines, text, self.batch["endpoint"])
        if errors:
            fail(self.batch, errors)
            self._keep()
            return
        results = await self._records.aside(self._records.of_kind, self._results)
        done = {result["line"]: result["good"] for result in results}
        good = sum(done.values())
        self.batch["request_counts"] = {"total": len(lines), "completed": good, "failed": len(done) - good}
        if self.batch["status"] == "validating":
            move(self.batch, "in_progress")
        self._keep()
        try:
            await self._finish(lines, await self._worked([line for line in lines if line.number not in done]))
        except ExceptionGroup as errors_of_lines:
            if self._records.claims.shared and errors_of_lines.subgroup(StoreError) is not None:
                raise  # it is taken up again, by whichever server reaches the store
            message = "The server failed on this batch; its log has the details."
            fail(self.batch, [{"code": "internal_error", "message": message, "line": None, "param": None}])
            self._keep()
            raise

    async def _worked(self, todo: Sequence[Line]) -> Ending:
        if self.batch["status"] == "cancelling":
            return "cancelled"
        if not todo:
            return "completed"
        self._work = asyncio.create_task(self._all(iter(todo)), name="batch lines")
        try:
            await asyncio.wait({self._work}, timeout=max(0.0, self.batch["expires_at"] - time.time()))
        finally:
            over = self._work.done()
            self._work.cancel()
            await asyncio.wait({self._work})
        if self.batch["status"] == "cancelling":
            return "cancelled"
        if not over:
            return "expired"
        self._work.result()
        return "completed"

    async def _all(self, todo: Iterator[Line]) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(self._asking.concurrency):
                group.create_task(self._some(todo))

    async def _some(self, todo: Iterator[Line]) -> None:
        for line in todo:
            entry = await self._answer(line)
            good = entry["response"]["status_code"] < 400
            result = {"line": line.number, "good": good, "entry": entry}
            self._records.put(self._results, f"{line.number:06d}", result)
            self.batch["request_counts"]["completed" if good else "failed"] += 1
            self._keep()
            await self._records.written()

    async def _answer(self, line: Line) -> dict[str, Any]:
        """The entry of what a live client would be answered."""
        request_id = f"{self.batch['id']}-{line.number}"
        body = line.body
        for name in ("stream", "background"):
            if body.get(name):
                refusal = not_available(name, " (in a batch)")
                return answered(line, refusal.status, request_id, body_of(refusal))
        if self.batch["endpoint"] not in UNSCHEDULED:
            _put_behind(body)
        failures = 0
        while True:
            async with self._asking.gate:
                answer = await self._asking.client.post(
                    self.batch["endpoint"],
                    content=json.dumps(body).encode(),
                    headers={"x-request-id": request_id, "content-type": "application/json"},
                )
            told = answer.json()
            code = told.get("error", {}).get("code") if answer.status_code in (429, 503) else None
            failures += code is not None and code not in _NO_ROOM
            if code is None or failures == ATTEMPTS:
                ignored = answer.headers.get("x-dovetail-ignored", "")
                return answered(line, answer.status_code, request_id, told, ignored)
            await asyncio.sleep(self._asking.retry_seconds)

    async def _finish(self, lines: Sequence[Line], ending: Ending) -> None:
        """Write the files and give the batch its last state; done again from the start if the process ends meanwhile."""
        batch = self.batch
        if ending == "completed":
            move(batch, "finalizing")
        kept = await self._records.aside(self._records.of_kind, self._results)
        results = {result["line"]: result for result in kept}
        good = [results[line.number]["entry"] for line in lines if results.get(line.number, {}).get("good")]
        bad = [
            results[line.number]["entry"] if line.number in results else unanswered(line, *_ENDINGS[ending])
            for line in lines
            if not results.get(line.number, {}).get("good")
        ]
        batch["output_file_id"] = self._file("output", good)
        batch["error_file_id"] = self._file("error", bad)
        batch["usage"] = usage_of(good)
        batch["model"] = next((entry["response"]["body"].get("model") for entry in good), None)
        batch["request_counts"] = {"total": len(lines), "completed": len(good), "failed": len(bad)}
        await self._records.written()
        move(batch, ending)
        self._keep()
        await self._records.written()
        self._records.delete_kind(self._results)

    def _file(self, name: str, entries: Sequence[dict[str, Any]]) -> str | None:
        if not entries:
            return None
        batch_id = self.batch["id"]
        text = "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries)
        id = f"file_{batch_id.removeprefix('batch_')}_{name}"
        file = self._files.add(
            "batch_output", f"{batch_id}_{name}.jsonl", text, id=id, expire_after=kept_seconds(self.batch)
        )
        return str(file["id"])


def _put_behind(body: dict[str, Any]) -> None:
    """Give a request its priority, unless its own is wrong: then it is refused as a live client's is."""
    own = body.get("priority")
    if own is None or (isinstance(own, int) and not isinstance(own, bool) and abs(own) <= 1000):
        body["priority"] = min(1000, PRIORITY + max(0, own or 0))
