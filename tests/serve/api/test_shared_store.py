"""Stored objects in a PostgreSQL database that several servers share: what one keeps the others find, and each works on its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator

import httpx
import pytest
from conftest import hello, served_model
from postgres_server import empty_database, postgres, run_statement

from dovetail.serve.api.app import create_app
from dovetail.serve.api.batches import runner
from dovetail.serve.api.settings import ApiSettings
from dovetail.serve.api.store.claims import SharedClaims
from dovetail.serve.api.store.local import LocalRecords
from dovetail.serve.api.store.opening import open_records
from dovetail.serve.api.store.shared import SharedRecords
from dovetail.serve.engine.fake import FakeEngine, Script
from dovetail.serve.errors import EngineError
from dovetail.serve.govern.store.database import Database
from dovetail.serve.types import Request

__all__ = ["postgres"]


@pytest.fixture
def url(postgres: str) -> str:
    return empty_database(postgres)


@pytest.fixture
def open_shared(url: str) -> Iterator[Callable[..., SharedRecords]]:
    with contextlib.ExitStack() as stack:
        yield lambda **named: stack.enter_context(contextlib.closing(SharedRecords(url, **named)))


class Server:
    """One server among others that use the same database."""

    def __init__(self, url: str, script: Script) -> None:
        self.engine = FakeEngine(script)
        self.app = create_app(self.engine, served_model(), ApiSettings(store=url))
        transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
        self.client = httpx.AsyncClient(transport=transport, base_url="http://test")

    async def status(self, path: str) -> str:
        told = (await self.client.get(path)).json()
        return str(told.get("status", told))

    async def until(self, path: str, *statuses: str) -> str:
        async with asyncio.timeout(20):
            while (found := await self.status(path)) not in statuses:  # noqa: ASYNC110 (another server's)
                await asyncio.sleep(0.01)
        return found


@pytest.fixture
async def serve(url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[..., Server]]:
    monkeypatch.setattr(SharedClaims.__init__, "__kwdefaults__", {"heartbeat_s": 0.05, "lease_s": 2.0})
    monkeypatch.setattr(runner, "LOOK_S", 0.05)
    servers: list[Server] = []

    def start(script: Script = hello) -> Server:
        servers.append(Server(url, script))
        return servers[-1]

    yield start
    for each in servers:
        await each.app.state.batches.close()
        await each.client.aclose()
        await asyncio.to_thread(each.app.state.records.close)


def test_what_one_keeps_the_other_finds(open_shared: Callable[..., SharedRecords]) -> None:
    one, other = open_shared(), open_shared()
    one.put("a", "1", {"x": "é\0"})
    one.put("a", "2", {"x": 2})
    one.put("a", "1", {"x": 3})
    assert one.of_kind("a") == other.of_kind("a") == [{"x": 3}, {"x": 2}], "what is replaced keeps its place"
    assert other.get("a", "1") == {"x": 3} and other.get("b", "1") is None
    assert other.delete("a", "1") and not one.delete("a", "1")
    other.delete_kind("a")
    assert other.of_kind("a") == []
    assert one.of_kind("a") == []


def test_nobody_sees_another_tenants(open_shared: Callable[..., SharedRecords]) -> None:
    who: str | None = "ann"
    records = open_shared(tenant=lambda: who)
    records.put("a", "1", {"of": "ann"})
    who = "bob"
    assert records.get("a", "1") is None and records.of_kind("a") == []
    records.put("a", "1", {"of": "bob"})
    who = "ann"
    assert records.get("a", "1") == {"of": "ann"}
    assert {each["of"] for each in records.of_everyone("a")} == {"ann", "bob"}


def test_of_many_who_come_first_one_is(open_shared: Callable[..., SharedRecords]) -> None:
    servers = [open_shared() for _ in range(4)]
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda at=at: found.append(servers[at].first("key", "seal", {"key": str(at)})["key"]))
        for at in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4 and len(set(found)) == 1


def test_no_change_is_lost_between_servers(open_shared: Callable[..., SharedRecords]) -> None:
    one, other = open_shared(), open_shared()
    one.put("conversation", "c", {"items": []})
    assert one.get("conversation", "c") == {"items": []}

    def add(records: SharedRecords, start: int) -> None:
        for number in range(start, start + 25):
            records.change("conversation", "c", lambda record, n=number: {"items": [*record["items"], n]})  # type: ignore[misc]

    threads = [threading.Thread(target=add, args=(one, 0)), threading.Thread(target=add, args=(other, 100))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kept = one.get("conversation", "c")
    assert kept is not None and sorted(kept["items"]) == [*range(25), *range(100, 125)]
    assert one.change("conversation", "none", lambda record: record) is None


async def test_the_event_loop_never_waits_for_the_database(open_shared: Callable[..., SharedRecords]) -> None:
    with pytest.raises(AssertionError, match="aside"):
        open_shared().get("a", "1")


async def test_a_database_that_is_gone_is_told_to_who_waits_for_it(
    open_shared: Callable[..., SharedRecords], url: str
) -> None:
    records = open_shared()
    server, _, name = url.rpartition("/")
    run_statement(server, f"DROP DATABASE {name} WITH (FORCE)")
    records.put("a", "1", {"x": 1})
    with pytest.raises(EngineError):
        await records.written()
    await records.written()
    with pytest.raises(EngineError):
        await records.aside(records.get, "a", "1")


async def test_claims(url: str) -> None:
    with contextlib.closing(Database(url)) as first, contextlib.closing(Database(url)) as second:
        one, other = (SharedClaims(each, heartbeat_s=0.05, lease_s=1.0) for each in (first, second))
        ends: list[bool] = []
        assert await one.take("x", ends.append) and not await other.take("x", ends.append)
        await asyncio.sleep(1.3)
        assert await other.held("x"), "it was renewed"
        assert not await other.end("x", 0.2)
        async with asyncio.timeout(30):
            while not ends:  # noqa: ASYNC110 (the heartbeat is another task's)
                await asyncio.sleep(0.02)
        assert not any(ends)
        await one.give_back("x")
        assert await other.end("x", 0.0) or await other.end("x", 1.0)
        assert await other.take("x", ends.append)
        # A server that stands still for too long loses what it had, and is told.
        first.call(lambda session: session.execute("UPDATE claims SET until = 0"))
        ends.clear()
        assert await one.take("x", lambda lost: None)
        async with asyncio.timeout(5):
            while not ends:  # noqa: ASYNC110 (the heartbeat is another task's)
                await asyncio.sleep(0.01)
        assert ends == [True]
        await one.close()
        assert not await other.held("x")
        await other.close()


async def test_a_conversation_goes_on_at_another_server(serve: Callable[..., Server]) -> None:
    one, other = serve(), serve()
    first = (await one.client.post("/v1/responses", json={"input": "a"})).json()
    body = {"input": "b", "previous_response_id": first["id"]}
    second = (await other.client.post("/v1/responses", json=body)).json()
    assert second["status"] == "completed"
    assert len(other.engine.requests[0].prompt) > len(one.engine.requests[0].prompt)
    assert (await one.client.get(f"/v1/responses/{second['id']}")).json() == second
    assert (await other.client.delete(f"/v1/responses/{first['id']}")).status_code == 200
    assert (await one.client.get(f"/v1/responses/{first['id']}")).status_code == 404


async def test_several_servers_add_to_one_conversation(serve: Callable[..., Server]) -> None:
    servers = [serve(), serve()]
    made = (await servers[0].client.post("/v1/conversations", json={})).json()
    asked = [
        each.client.post("/v1/responses", json={"input": f"{number}", "conversation": made["id"]})
        for number in range(4)
        for each in servers
    ]
    assert {answer.status_code for answer in await asyncio.gather(*asked)} == {200}
    listed = (await servers[1].client.get(f"/v1/conversations/{made['id']}/items?limit=100")).json()
    assert len(listed["data"]) == 2 * len(asked)


async def test_what_one_sealed_the_other_accepts(url: str) -> None:
    keys = []
    for _ in range(2):
        with contextlib.closing(open_records(url, lambda: None)) as records:
            keys.append((await records.aside(records.first, "key", "seal", {"key": str(len(keys))}))["key"])
    assert keys == ["0", "0"]
    assert isinstance(open_records(None, lambda: None), LocalRecords)


def waits(request: Request) -> Iterator[float]:
    yield 60.0


async def test_a_background_response_is_seen_and_ended_at_another_server(serve: Callable[..., Server]) -> None:
    one, other = serve(waits), serve()
    queued = (await one.client.post("/v1/responses", json={"input": "a", "background": True})).json()
    path = f"/v1/responses/{queued['id']}"
    assert await other.until(path, "in_progress") == "in_progress"
    assert (await other.client.post(f"{path}/cancel")).json()["status"] == "cancelled"
    assert one.engine.running == 0
    assert await one.status(path) == "cancelled"


async def test_a_background_response_of_a_server_that_died_has_failed(serve: Callable[..., Server]) -> None:
    one, other = serve(waits), serve()
    queued = (await one.client.post("/v1/responses", json={"input": "a", "background": True})).json()
    path = f"/v1/responses/{queued['id']}"
    assert await other.until(path, "in_progress") == "in_progress"
    await one.app.state.batches.close()  # its claims go with it
    assert await other.until(path, "failed") == "failed"


async def begun(server: Server, lines: int) -> str:
    line = {"method": "POST", "url": "/v1/completions", "body": {"prompt": "x"}}
    text = "".join(json.dumps({"custom_id": str(number), **line}) + "\n" for number in range(lines))
    file = (await server.client.post("/v1/files", files={"file": ("in.jsonl", text)}, data={"purpose": "batch"})).json()
    body = {"input_file_id": file["id"], "endpoint": "/v1/completions", "completion_window": "24h"}
    batch = (await server.client.post("/v1/batches", json=body)).json()
    return f"/v1/batches/{batch['id']}"


async def test_a_batch_is_run_by_one_server_and_taken_up_by_another(serve: Callable[..., Server]) -> None:
    one, other = serve(waits), serve()
    other.app.state.batches.resume()
    path = await begun(one, 3)
    assert await other.until(path, "in_progress") == "in_progress"
    batch = (await other.client.get(path)).json()
    refused = await other.client.delete(f"/v1/files/{batch['input_file_id']}")
    assert refused.status_code == 409
    await asyncio.sleep(0.3)
    assert other.engine.requests == [], "it is the first one's"
    await one.app.state.batches.close()
    assert await other.until(path, "completed") == "completed"
    assert len(other.engine.requests) == 3


async def test_a_batch_is_cancelled_from_another_server(serve: Callable[..., Server]) -> None:
    one, other = serve(waits), serve()
    path = await begun(one, 2)
    assert await other.until(path, "in_progress") == "in_progress"
    assert (await other.client.post(f"{path}/cancel")).json()["status"] == "cancelling"
    assert await other.until(path, "cancelled") == "cancelled"
    assert one.engine.running == 0
