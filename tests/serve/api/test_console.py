"""The console over HTTP: headers of its files, and what it is told, and who is told it."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from dovetail.serve.api.app import create_app
from dovetail.serve.api.console.pages import HEADERS
from dovetail.serve.api.served import ServedModel
from dovetail.serve.api.settings import ApiSettings
from dovetail.serve.console.files import PATHS
from dovetail.serve.engine.fake import FakeEngine, reply
from dovetail.serve.errors import EngineError
from dovetail.serve.govern.access.access import Access
from dovetail.serve.govern.access.document import AccessFile
from dovetail.serve.govern.audit.log import AuditLog
from dovetail.serve.govern.audit.settings import AuditSettings
from dovetail.serve.govern.governance import Governance
from dovetail.serve.govern.keys.keyring import Keyring
from dovetail.serve.govern.keys.table import create_key
from dovetail.serve.govern.principal import Scopes
from dovetail.serve.govern.quotas.gate import Gate
from dovetail.serve.govern.quotas.usage import UsageLog
from dovetail.serve.govern.store.database import Database

CHAT = "/v1/chat/completions"
SECRET = "the unspeakable word"
ASKED = {"messages": [{"role": "user", "content": SECRET}]}
ADMIN_ONLY = ("live", "keys", "usage", "audit")


class Server:
    """An application with keys and an audit log."""

    def __init__(self, served: ServedModel, folder: Path, stack: contextlib.AsyncExitStack) -> None:
        self.database = Database(":memory:")
        access = Access.of(AccessFile(), Keyring(self.database, clock=itertools.count().__next__), certificates=False)
        usage = UsageLog(self.database)
        audit = AuditLog(AuditSettings(folder=folder / "log", text="full"))
        governance = Governance(access, Gate({}, usage.record), usage, self.database, audit)
        self.audit = audit
        app = create_app(FakeEngine(self.script), served, ApiSettings(), governance=governance)
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        self.client = httpx.AsyncClient(transport=transport, base_url="http://test")
        stack.push_async_callback(governance.close)
        stack.push_async_callback(self.client.aclose)
        self.fails = False
        self.admin = self.key("ann", admin=True)
        self.other = self.key("bob")

    def script(self, request):
        if self.fails:
            yield EngineError("the engine died", code="engine_died")
        yield from reply(request, ["Hel", "lo"], lambda text: list(text.encode()))

    def key(self, name: str, **scopes: object) -> dict[str, str]:
        made = self.database.call(lambda session: create_key(session, name, now=time.time(), scopes=Scopes(**scopes)))
        return {"authorization": f"Bearer {made[1]}"}

    async def get(self, what: str, headers: dict[str, str]) -> httpx.Response:
        return await self.client.get(f"/console/api/{what}", headers=headers)


@pytest.fixture
async def server(served: ServedModel, tmp_path: Path) -> AsyncIterator[Server]:
    async with contextlib.AsyncExitStack() as stack:
        yield Server(served, tmp_path, stack)


@pytest.mark.parametrize("path", PATHS)
async def test_files_come_with_their_policy_and_are_asked_for_once(api, path: str) -> None:
    answer = await api.client.get(path)
    assert answer.status_code == 200
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    again = await api.client.get(path, headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["content-security-policy"] == answer.headers["content-security-policy"]
    assert (await api.client.post(path)).status_code == 405


@pytest.mark.parametrize(
    "path", ["/console", "/console/", "/console/index.html", "/console/../app.py", "/console/%2e%2e/files.py"]
)
async def test_what_is_no_file_of_the_list_is_not_there(api, path: str) -> None:
    assert (await api.client.get(path)).status_code == 404


async def test_who_is_looking(server: Server, api) -> None:
    told = (await server.get("session", server.other)).json()
    assert (told["name"], told["admin"], told["open"], told["audit"]) == ("bob", False, False, True)
    assert (await server.get("session", server.admin)).json()["admin"]
    everybody = (await api.client.get("/console/api/session")).json()
    assert (everybody["open"], everybody["admin"], everybody["keys"], everybody["administrators_port"]) == (
        True,
        True,
        False,
        False,
    )


@pytest.mark.parametrize("what", ADMIN_ONLY)
async def test_only_administrators_see_others(server: Server, what: str) -> None:
    refused = await server.get(what, server.other)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "admin_only")
    answer = await server.get(what, server.admin)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"


async def test_the_live_view_names_requests_and_tells_no_text(server: Server) -> None:
    await server.client.post(CHAT, json=ASKED, headers={**server.other, "x-request-id": "one"})
    server.fails = True
    await server.client.post(CHAT, json=ASKED, headers={**server.other, "x-request-id": "two"})
    streamed = await server.client.post(
        CHAT, json={**ASKED, "stream": True}, headers={**server.other, "x-request-id": "three"}
    )
    assert streamed.status_code == 200
    await server.client.post(CHAT, json=ASKED, headers={"x-request-id": "four"})
    answer = await server.get("live", server.admin)
    assert SECRET not in answer.text
    told = answer.json()
    by_id = {each["request_id"]: each for each in told["requests"]}
    assert set(by_id) == {"one", "two", "three", "four"}
    assert [by_id[name]["outcome"] for name in ("one", "two", "three", "four")] == [
        "answered",
        "failed",
        "failed",
        "refused",
    ]
    assert [by_id[name]["who"] for name in ("one", "four")] == ["bob", ""]
    assert by_id["three"]["code"] == "engine_died"
    one = by_id["one"]
    assert (one["prompt_tokens"] > 0, one["completion_tokens"], one["first_token_s"] <= one["seconds"]) == (
        True,
        5,
        True,
    )
    assert told["state"] == "ready"
    assert told["latency"]["whole"]["count"] == 1
    assert told["latency"]["whole"]["p99"] == one["seconds"]
    assert told["server"]["loaded"]["architecture"] == "Fake"


async def test_a_server_that_loads_has_a_live_view(make_api) -> None:
    told = (await make_api(ready=False).client.get("/console/api/live")).json()
    assert (told["state"], told["server"]["loaded"]) == ("loading", None)


async def test_keys_and_usage(server: Server, api) -> None:
    await server.client.post(CHAT, json=ASKED, headers=server.other)
    keys = (await server.get("keys", server.admin)).json()["keys"]
    assert {key["name"] for key in keys} == {"ann", "bob"}
    assert "dvt_" not in str(keys)
    [line] = (await server.get("usage?by=key", server.admin)).json()["usage"]
    assert (line["name"], line["requests"], line["completion_tokens"]) == ("bob", 1, 5)
    assert (await server.get("usage?by=mood", server.admin)).status_code == 400
    assert (await api.client.get("/console/api/keys")).json() == {"keys": None}
    assert (await api.client.get("/console/api/usage")).json() == {"by": "key", "usage": None}


async def test_the_audit_log_is_searched_and_stays_sealed(server: Server, api) -> None:
    for name in ("first-asked", "then-asked"):
        await server.client.post(CHAT, json=ASKED, headers={**server.other, "x-request-id": name})
    server.audit.record("answered", {"request_id": "last"}).result()
    answer = await server.get("audit?text=First-Asked", server.admin)
    assert SECRET not in answer.text
    records = answer.json()["records"]
    assert {(each["request_id"], each["who"]["name"]) for each in records} == {("first-asked", "bob")}
    assert [each["kind"] for each in records] == ["answered", "asked"]
    assert "encrypted" in records[1]["prompts"][0]["text"]
    page = (await server.get("audit?limit=2", server.admin)).json()
    assert [each["request_id"] for each in page["records"]] == ["last", "then-asked"]
    older = (await server.get(f"audit?limit=2&before={page['before']}", server.admin)).json()
    assert [each["request_id"] for each in older["records"]] == ["then-asked", "first-asked"]
    for bad in ("limit=0", "limit=" + "0" * 5000 + "1", "limit=x", "before=there"):
        assert (await server.get(f"audit?{bad}", server.admin)).status_code == 400
    assert (await api.client.get("/console/api/audit")).status_code == 403
