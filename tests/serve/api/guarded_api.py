"""An application that asks for keys: what tests ask of it, and batches of its owners'."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass

import httpx

from dovetail.serve.engine.fake import FakeEngine, Step, reply
from dovetail.serve.govern.governance import Governance
from dovetail.serve.govern.keys.table import create_key, revoke_key
from dovetail.serve.govern.quotas.usage import report
from dovetail.serve.govern.store.database import Database
from dovetail.serve.types import EditSpec, Request, TokensEvent

CHAT = "/v1/chat/completions"
ASKED = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}]}
PROMPT = len("<user>hi\n")
BLOCK = "a\n<<<<<<< SEARCH\na\n=======\nb\n>>>>>>> REPLACE\n"
ANSWER = len("Hello, wörld".encode())
GENERATING = {
    CHAT: ASKED,
    "/v1/responses": {"model": "tiny", "input": "hi"},
    "/v1/messages": {**ASKED, "max_tokens": 50},
    "/v1/completions": {"model": "tiny", "prompt": "hi"},
    "/v1/edits": {"instruction": "x", "files": [{"path": "a", "content": "a\n"}]},
}


@dataclass
class Guarded:
    """An application that asks for keys."""

    app: object
    engine: FakeEngine
    client: httpx.AsyncClient
    governance: Governance
    database: Database

    def key(self, *, revoked: bool = False, **fields: object) -> str:
        def make(session) -> str:
            key, text = create_key(session, "k", now=time.time(), **fields)
            if revoked:
                revoke_key(session, key.id, now=time.time())
            return text

        return self.database.call(make)

    async def post(self, path: str, body: object, key: str) -> httpx.Response:
        return await self.client.post(path, json=body, headers={"authorization": f"Bearer {key}"})

    async def used(self) -> list[tuple[int, int, int, int]]:
        await self.governance.usage.flush()
        lines = self.database.call(lambda session: report(session, "key"))
        return [(line.requests, line.refused, line.prompt_tokens, line.completion_tokens) for line in lines]


def hello(request: Request) -> Iterator[Step]:
    pieces = [BLOCK] if isinstance(request.constraint, EditSpec) else ["Hel", "lo, ", "wörld"]
    return reply(request, pieces, lambda text: list(text.encode()))


def endless(request: Request) -> Iterator[Step]:
    for _ in itertools.count():
        yield TokensEvent(request_id="", tokens=(97,), text="a", origins=("sampled",))
        yield 0.01


async def begun_batch(api: Guarded, key: str) -> dict[str, object]:
    line = {"custom_id": "1", "method": "POST", "url": CHAT, "body": ASKED}
    files = {"file": ("a.jsonl", json.dumps(line).encode()), "purpose": (None, "batch")}
    file = await api.client.post("/v1/files", files=files, headers={"x-api-key": key})
    body = {"input_file_id": file.json()["id"], "endpoint": CHAT, "completion_window": "24h"}
    batch = await api.post("/v1/batches", body, key)
    assert batch.status_code == 200, batch.text
    assert "owner" not in batch.json()
    return batch.json()


async def ended_batch(api: Guarded, id: object, key: str) -> dict[str, object]:
    async with asyncio.timeout(60):
        while True:
            batch = (await api.client.get(f"/v1/batches/{id}", headers={"x-api-key": key})).json()
            if batch["status"] == "completed":
                return batch
            await asyncio.sleep(0.02)
