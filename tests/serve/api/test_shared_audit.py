"""Servers that keep their audit logs in one database: each one's requests are found from the other, and none is answered without it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable

import httpx
import pytest
from conftest import hello, served_model
from postgres_server import empty_database, postgres, run_statement

from dovetail.serve.api.app import create_app
from dovetail.serve.api.settings import ApiSettings
from dovetail.serve.config.server import Fsync
from dovetail.serve.engine.fake import FakeEngine
from dovetail.serve.govern.access.access import Access
from dovetail.serve.govern.access.document import AccessFile
from dovetail.serve.govern.audit.log import AuditLog
from dovetail.serve.govern.audit.settings import AuditSettings
from dovetail.serve.govern.audit.verify import verify_shared
from dovetail.serve.govern.governance import Governance
from dovetail.serve.govern.keys.key import Scopes
from dovetail.serve.govern.keys.keyring import Keyring
from dovetail.serve.govern.keys.table import create_key
from dovetail.serve.govern.store.database import Database

__all__ = ["postgres"]

ASKED = {"messages": [{"role": "user", "content": "hi"}]}


class Server:
    """One application among others that share an audit log; its key is an administrator's."""

    def __init__(self, url: str, name: str, fsync: Fsync) -> None:
        self.audit = AuditLog(AuditSettings(database=url, name=name, fsync=fsync))
        self.database = Database(":memory:")
        _, text = self.database.call(
            lambda session: create_key(session, name, now=time.time(), scopes=Scopes(admin=True))
        )
        access = Access.of(AccessFile(), Keyring(self.database), certificates=False)
        self.engine = FakeEngine(hello)
        app = create_app(
            self.engine,
            served_model(),
            ApiSettings(),
            governance=Governance(access, database=self.database, audit=self.audit),
        )
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        headers = {"authorization": f"Bearer {text}"}
        self.client = httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers)

    async def ask(self) -> httpx.Response:
        return await self.client.post("/v1/chat/completions", json=ASKED)

    async def found(self, **query: str) -> list[dict[str, object]]:
        answer = await self.client.get("/console/api/audit", params=query)
        assert answer.status_code == 200, answer.text
        return list(answer.json()["records"])


@pytest.fixture
def url(postgres: str) -> str:
    return empty_database(postgres)


@pytest.fixture
async def serve(url: str) -> AsyncIterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(name: str, fsync: Fsync = "interval") -> Server:
        servers.append(Server(url, name, fsync))
        return servers[-1]

    yield start
    for each in servers:
        await each.client.aclose()
        await asyncio.to_thread(each.audit.close)
        each.database.close()


def reach(postgres: str, url: str, allowed: bool) -> None:
    """Let nobody into the database, and throw out who is in it; or let them in again."""
    name = url.rpartition("/")[2]
    run_statement(postgres, f"ALTER DATABASE {name} ALLOW_CONNECTIONS {allowed}")
    if not allowed:
        run_statement(postgres, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 (a state of another thread)
            await asyncio.sleep(0.01)


async def test_what_one_server_did_is_found_from_the_other(url: str, serve: Callable[..., Server]) -> None:
    one, two = serve("one"), serve("two")
    for server in (one, two, one):
        assert (await server.ask()).status_code == 200
    await until(lambda: one.audit.counts.records + two.audit.counts.records == 6)
    found = await two.found()
    assert sorted(each["log"] for each in found) == ["one"] * 4 + ["two"] * 2
    assert {each["log"] for each in await two.found(who="one")} == {"one"}
    assert {name: verdict.problem for name, verdict in verify_shared(url).items()} == {"one": None, "two": None}


@pytest.mark.parametrize("fsync", ["interval", "always"])
async def test_nothing_is_generated_while_the_database_is_out_of_reach(
    url: str, postgres: str, serve: Callable[..., Server], fsync: Fsync
) -> None:
    server = serve("one", fsync)
    assert (await server.ask()).status_code == 200
    await asyncio.to_thread(reach, postgres, url, False)
    server.audit.record("admin", {})
    await until(lambda: server.audit.counts.failing is not None)
    refused = await server.ask()
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "audit_unavailable")
    assert (await server.client.get("/v1/models")).status_code == 200, "reads are answered, and nothing stands still"
    assert "dovetail_audit_failing 1.0" in (await server.client.get("/metrics")).text
    await asyncio.to_thread(reach, postgres, url, True)
    await until(lambda: server.audit.counts.failing is None)
    assert (await server.ask()).status_code == 200
    await until(lambda: server.audit.counts.records == 6)
    kinds = [each.get("code", each["kind"]) for each in await server.found()]
    assert kinds == ["answered", "asked", "audit_unavailable", "admin", "answered", "asked"]


async def test_a_request_waits_for_its_record_and_others_do_not(
    url: str, postgres: str, serve: Callable[..., Server]
) -> None:
    server = serve("one", "always")
    await asyncio.to_thread(reach, postgres, url, False)
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(server.ask())
        await until(lambda: server.audit.counts.failing is not None)
        assert (await server.client.get("/health")).status_code == 200
        assert not waiting.done() and server.engine.requests == []
        await asyncio.to_thread(reach, postgres, url, True)
    assert waiting.result().status_code == 200
    await until(lambda: server.audit.counts.records == 2)
    assert [each["kind"] for each in await server.found()] == ["answered", "asked"]
