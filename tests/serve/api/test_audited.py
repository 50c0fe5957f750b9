"""What requests leave in the audit log: the real application, recorded."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import json
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tiny import write_tiny_checkpoint
from tool_model import tool_model

from dovetail.serve.api.app import create_app
from dovetail.serve.api.served import ServedModel
from dovetail.serve.api.settings import ApiSettings
from dovetail.serve.config.server import Fsync
from dovetail.serve.edit.policy.combine import Policy
from dovetail.serve.edit.policy.document import parse_policy
from dovetail.serve.engine.fake import FakeEngine, Script, Step, reply
from dovetail.serve.errors import EngineError
from dovetail.serve.govern.access.access import Access
from dovetail.serve.govern.access.document import AccessFile
from dovetail.serve.govern.audit.log import AuditLog
from dovetail.serve.govern.audit.settings import AuditSettings
from dovetail.serve.govern.audit.show import Filter, records
from dovetail.serve.govern.audit.verify import verify
from dovetail.serve.govern.declines.conduct import Conduct
from dovetail.serve.govern.declines.document import read_acceptable_use
from dovetail.serve.govern.governance import Governance
from dovetail.serve.govern.keys.keyring import Keyring
from dovetail.serve.govern.keys.table import create_key
from dovetail.serve.govern.principal import Quota
from dovetail.serve.govern.store.database import Database
from dovetail.serve.types import EditSpec, Request, TokensEvent

ASKED = {"model": "tiny", "messages": [{"role": "user", "content": "hi, my key is sk-" + "a1B2" * 8}]}
BLOCK = "a\n<<<<<<< SEARCH\na\n=======\nb\n>>>>>>> REPLACE\n"
GENERATING: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": ASKED,
    "/v1/responses": {"model": "tiny", "input": "hi"},
    "/v1/messages": {**ASKED, "max_tokens": 50},
    "/v1/completions": {"model": "tiny", "prompt": "hi"},
    "/v1/edits": {"instruction": "x", "files": [{"path": "a", "content": "a\n"}]},
}


class Recorded:
    """An application whose log can be read once it is closed."""

    def __init__(
        self,
        served: ServedModel,
        folder: Path,
        *,
        keys: bool = False,
        script: Script | None = None,
        fsync: Fsync = "interval",
        **settings: Any,
    ) -> None:
        self.settings = AuditSettings(folder=folder / "log", text="full", fsync=fsync)
        self.log = AuditLog(self.settings, {"model": "m" * 8, "policy": None})
        self.database = Database(":memory:")
        access = (
            Access.of(AccessFile(), Keyring(self.database, clock=itertools.count().__next__), certificates=False)
            if keys
            else Access()
        )
        governance = Governance(access, audit=self.log)
        self.engine = FakeEngine(script or hello)
        app = create_app(self.engine, served, ApiSettings(**settings), governance=governance)
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        self.client = httpx.AsyncClient(transport=transport, base_url="http://test")

    def key(self, name: str, **fields: Any) -> dict[str, str]:
        _, text = self.database.call(lambda session: create_key(session, name, now=0.0, **fields))
        return {"authorization": f"Bearer {text}"}

    async def told(self) -> list[dict[str, Any]]:
        await asyncio.to_thread(self.log.close)
        assert verify(self.settings).problem is None
        return [record for record in records(self.settings, Filter()) if record["kind"] != "stop"]


def hello(request: Request) -> Iterator[Step]:
    prompt = bytes(token for token in request.prompt if token < 256)
    if b"fail" in prompt:
        raise EngineError("The engine is gone.")
    pieces = [BLOCK] if isinstance(request.constraint, EditSpec) else ["Hel", "lo"]
    return reply(request, pieces, lambda text: list(text.encode()))


def endless(request: Request) -> Iterator[Step]:
    while True:
        yield TokensEvent(request_id="", tokens=(97,), text="a", origins=("sampled",))
        yield 0.01


def insecure(request: Request) -> Iterator[Step]:
    return reply(request, ["```python\n", "eval(x)\n", "```\n"], lambda text: list(text.encode()))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ServedModel:
    return tool_model(write_tiny_checkpoint(tmp_path_factory.mktemp("tiny"), layers=1, max_position_embeddings=64))


@pytest.fixture
async def recorded(served: ServedModel, tmp_path: Path) -> AsyncIterator[Recorded]:
    async with contextlib.AsyncExitStack() as stack:
        made = Recorded(served, tmp_path, keys=True)
        stack.push_async_callback(made.client.aclose)
        stack.callback(made.database.close)
        stack.callback(made.log.close)
        yield made


@pytest.mark.parametrize("stream", [False, True])
async def test_every_endpoint_that_generates_is_recorded(recorded: Recorded, stream: bool) -> None:
    headers = recorded.key("ci")
    for path, body in GENERATING.items():
        answer = await recorded.client.post(path, json={**body, "stream": stream}, headers=headers)
        assert answer.status_code == 200, answer.text
    told = await recorded.told()
    assert [(record["kind"], record["endpoint"]) for record in told] == [
        (kind, path) for path in GENERATING for kind in ("asked", "answered")
    ]
    for asked, answered in zip(told[::2], told[1::2], strict=True):
        assert asked["request_id"] == answered["request_id"]
        assert asked["who"]["name"] == answered["who"]["name"] == "ci" and asked["model"] == "m" * 8
        expected = BLOCK if answered["endpoint"] == "/v1/edits" else "Hello"
        assert answered["outputs"][0]["text"] == expected
        assert answered["decision"] == "answered" and answered["status"] == 200
        assert answered["usage"]["completion"] == len(expected)
    assert "[redacted:api-key]" in told[0]["prompts"][0]["text"]
    assert told[-1]["edits"][0]["path"] == "a"
    written = b"".join(path.read_bytes() for path in recorded.settings.folder.rglob("*") if path.is_file())
    assert b"a1B2a1B2" not in written and b"dvt_" not in written


async def test_refusals_are_recorded_with_their_reason(recorded: Recorded) -> None:
    post, chat = recorded.client.post, "/v1/chat/completions"
    few = recorded.key("few", quota=Quota(requests_per_minute=1))
    await post(chat, json=ASKED)
    await post(chat, json={}, headers=few)
    await post(chat, json=ASKED, headers=few)
    await recorded.client.get("/v1/models")
    await recorded.client.get("/v1/models", headers=recorded.key("reader"))
    failing = {"model": "tiny", "messages": [{"role": "user", "content": "fail"}]}
    await post(chat, json=failing, headers=recorded.key("unlucky"))
    apply = {"text": BLOCK.replace("\na\n=", "\nz\n="), "format": "blocks", "files": [{"path": "a", "content": "a\n"}]}
    await post("/v1/edits/apply", json=apply, headers=recorded.key("agent"))
    told = [
        (record["who"]["name"], record["method"], record["decision"], record["code"])
        for record in await recorded.told()
        if record["kind"] == "answered"
    ]
    assert told == [
        ("anonymous", "POST", "refused", "missing_api_key"),
        ("few", "POST", "invalid", "missing_field"),
        ("few", "POST", "quota", "rate_limit_exceeded"),
        ("anonymous", "GET", "refused", "missing_api_key"),
        ("unlucky", "POST", "failed", "engine_unavailable"),
        ("agent", "POST", "invalid", "edit_not_found"),
    ]


async def test_a_full_server_and_a_client_that_leaves_are_recorded(make_live, tmp_path: Path) -> None:
    settings = AuditSettings(folder=tmp_path / "log", text="full")
    log = AuditLog(settings)
    live = await make_live(endless, governance=Governance(audit=log), max_in_flight=1)
    chat = "/v1/chat/completions"
    async with live.client.stream("POST", chat, json={**ASKED, "stream": True}) as leaving:
        await anext(leaving.aiter_bytes())
        assert (await live.client.post(chat, json=ASKED)).status_code == 429
    await live.until(lambda: not live.engine.running, 30)
    await live.until(lambda: log.counts.records == 3, 30)
    await asyncio.to_thread(log.close)
    answered = [record for record in records(settings, Filter()) if record["kind"] == "answered"]
    assert [record["decision"] for record in answered] == ["overloaded", "left"]
    assert answered[1]["outputs"][0]["text"].startswith("a")


async def test_findings_are_recorded_and_decide(served: ServedModel, tmp_path: Path) -> None:
    for mode, decision in (("report", "answered"), ("block", "policy")):
        policy = Policy([parse_policy({"findings": {"rules": ["default"], "mode": mode}})])
        recorded = Recorded(served, tmp_path / mode, script=insecure, policy=policy)
        assert (await recorded.client.post("/v1/chat/completions", json=ASKED)).status_code == 200
        (answered,) = [record for record in await recorded.told() if record["kind"] == "answered"]
        assert answered["decision"] == decision
        assert [(each["id"], each["action"]) for each in answered["findings"]] == [("python/eval", mode)]


async def test_calls_are_recorded_by_name_and_digest(model: ServedModel, tmp_path: Path) -> None:
    call = '<tool_call>\n{"name": "look", "arguments": {"at": "x"}}\n</tool_call>'
    recorded = Recorded(model, tmp_path, script=lambda request: reply(request, [call], model.codec.encode))
    body = {**ASKED, "tools": [{"type": "function", "function": {"name": "look"}}]}
    assert (await recorded.client.post("/v1/chat/completions", json=body)).status_code == 200
    (answered,) = [record for record in await recorded.told() if record["kind"] == "answered"]
    (called,) = answered["tool_calls"]
    assert called["name"] == "look"
    assert called["arguments"]["digest"] == hashlib.sha256(called["arguments"]["text"].encode()).hexdigest()
    assert json.loads(called["arguments"]["text"]) == {"at": "x"}


async def test_with_fsync_always_the_engine_waits_for_the_record(served: ServedModel, tmp_path: Path) -> None:
    on_disk: list[bytes] = []

    def looks(request: Request) -> Iterator[Step]:
        on_disk.append(b"".join(path.read_bytes() for path in recorded.settings.segments()))
        return hello(request)

    recorded = Recorded(served, tmp_path, script=looks, fsync="always")
    assert (await recorded.client.post("/v1/chat/completions", json=ASKED)).status_code == 200
    assert b'"kind":"asked"' in on_disk[0]
    await recorded.told()


async def failing(log: AuditLog, wanted: bool) -> None:
    while (log.counts.failing is not None) != wanted:  # noqa: ASYNC110 (a state, not an event)
        await asyncio.sleep(0.005)


async def test_while_nothing_can_be_written_nothing_is_generated(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = recorded.key("ci")
    full = True

    def no_space(file: int, data: bytes) -> int:
        if full:
            raise OSError(28, "No space left on device")
        return write(file, data)

    write = os.write
    monkeypatch.setattr("dovetail.serve.govern.audit.segment.os.write", no_space)
    recorded.log.record("answered", {})
    await failing(recorded.log, True)
    answer = await recorded.client.post("/v1/chat/completions", json=ASKED, headers=headers)
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "audit_unavailable"
    metrics = (await recorded.client.get("/metrics", headers=recorded.key("admin"))).text
    assert "dovetail_audit_failing 1.0" in metrics
    full = False
    await failing(recorded.log, False)
    assert (await recorded.client.post("/v1/chat/completions", json=ASKED, headers=headers)).status_code == 200
    kinds = [record.get("code", record["kind"]) for record in await recorded.told()]
    assert kinds == ["answered", "audit_unavailable", "asked", "answered"]


async def test_a_background_response_is_recorded_when_it_ends(recorded: Recorded) -> None:
    headers = recorded.key("ci")
    body = {"model": "tiny", "input": "hi", "background": True}
    made = (await recorded.client.post("/v1/responses", json=body, headers=headers)).json()
    while made["status"] in ("queued", "in_progress"):
        made = (await recorded.client.get(f"/v1/responses/{made['id']}", headers=headers)).json()
    told = await recorded.told()
    assert [record["kind"] for record in told] == ["asked", "answered"]
    assert told[1]["outputs"][0]["text"] == "Hello"
    assert json.dumps(told[1]["finish"]) == '["stop"]'


async def test_a_declined_request_is_recorded_as_one(served, tmp_path):
    recorded = Recorded(served, tmp_path, conduct=Conduct(read_acceptable_use()))
    body = {"model": "tiny", "messages": [{"role": "user", "content": "Write ransomware."}]}
    await recorded.client.post("/v1/chat/completions", json=body)
    (answered,) = [record for record in await recorded.told() if record["kind"] == "answered"]
    assert answered["decision"] == "decline"
    assert answered["findings"] == [{"clause": "malware", "by": "rule", "rule": "malware/made"}]
