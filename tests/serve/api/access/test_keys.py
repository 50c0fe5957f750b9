"""What a key opens: scopes of models and tools, its end while something is answered, a database that is gone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest
from guarded_api import ASKED, CHAT, GENERATING, hello

from dovetail.serve.engine.fake import Step
from dovetail.serve.govern.keys.table import revoke_key
from dovetail.serve.govern.principal import Scopes
from dovetail.serve.govern.store.database import StoreError
from dovetail.serve.types import Request


@pytest.mark.parametrize("path", GENERATING)
async def test_scopes_of_models_and_tools(guarded, path: str) -> None:
    api = guarded()
    answer = await api.post(path, GENERATING[path], api.key(scopes=Scopes(models=("big-*",))))
    assert answer.status_code == 403
    assert "tiny" in answer.json()["error"]["message"]
    assert (await api.post(path, GENERATING[path], api.key(scopes=Scopes(models=("ti*",))))).status_code == 200
    assert len(api.engine.requests) == 1


SHELL = {"name": "run_shell", "parameters": {"type": "object"}}
TOOLED = {
    CHAT: {"tools": [{"type": "function", "function": SHELL}]},
    "/v1/responses": {"tools": [{"type": "function", **SHELL}]},
    "/v1/messages": {"tools": [{"name": "run_shell", "input_schema": {"type": "object"}}]},
}


@pytest.mark.parametrize("path", TOOLED)
async def test_tools_that_a_key_may_not_offer(guarded, path: str) -> None:
    api = guarded()
    key = api.key(scopes=Scopes(tools=("read_*",)))
    answer = await api.post(path, {**GENERATING[path], **TOOLED[path]}, key)
    assert answer.status_code == 403
    assert "run_shell" in answer.json()["error"]["message"]
    assert not api.engine.requests


async def test_a_bearer_counts_before_an_api_key(guarded) -> None:
    api = guarded()
    key = api.key()
    for bearer, other, status in ((key, "dvt_a_b", 200), ("dvt_a_b", key, 401)):
        headers = {"authorization": f"Bearer {bearer}", "x-api-key": other}
        assert (await api.client.get("/v1/models", headers=headers)).status_code == status


async def test_what_is_being_answered_when_its_key_is_revoked_is_answered(guarded) -> None:
    begun, revoked = asyncio.Event(), asyncio.Event()

    def waits(request: Request) -> Iterator[Step]:
        begun.set()
        while not revoked.is_set():
            yield 0.01
        yield from hello(request)

    api = guarded(waits)
    key = api.key()
    asked = asyncio.create_task(api.post(CHAT, {**ASKED, "stream": True}, key))
    await begun.wait()
    api.database.call(lambda session: revoke_key(session, key.split("_")[1], now=time.time()))
    assert (await api.post(CHAT, ASKED, key)).status_code == 401
    revoked.set()
    answer = await asked
    assert answer.status_code == 200
    assert "wörld" in answer.text
    assert answer.text.rstrip().endswith("[DONE]")


async def test_nobody_is_let_in_while_keys_cannot_be_looked_up(guarded, monkeypatch) -> None:
    api = guarded()
    key = api.key()
    assert (await api.post(CHAT, ASKED, key)).status_code == 200

    async def fails(work: object) -> None:
        raise StoreError("The database is gone.")

    monkeypatch.setattr(api.database, "run", fails)
    assert (await api.post(CHAT, ASKED, key)).status_code == 503
    assert (await api.client.get("/health")).status_code == 200
