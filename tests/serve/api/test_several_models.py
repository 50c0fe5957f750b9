"""Several models behind one server: each request goes to the engine of the model that it names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from dovetail.serve.api.app import create_app
from dovetail.serve.api.hosted import Hosted
from dovetail.serve.api.settings import ApiSettings
from dovetail.serve.engine.fake import FakeEngine

CHAT = {"messages": [{"role": "user", "content": "hi"}]}


class Two:
    """A server of ``tiny`` and ``small``, whose context is 512 tokens; ``adapted`` is an adapter of ``small``."""

    def __init__(self, served, saying, **settings):
        self.first, self.second = FakeEngine(saying("one")), FakeEngine(saying("two"))
        small = Hosted(replace(served, name="small", max_model_len=512, licence="apache-2.0"), self.second)
        self.app = create_app(self.first, served, ApiSettings(**settings), beside=[small])
        self.app.state.models.add_adapter("adapted", small, Path("adapted"))
        transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
        self.client = httpx.AsyncClient(transport=transport, base_url="http://test")

    async def said(self, **body):
        answer = (await self.client.post("/v1/chat/completions", json={**CHAT, **body})).json()
        return answer["model"], answer["choices"][0]["message"]["content"]


@pytest.fixture
async def two(served, saying):
    made = Two(served, saying)
    yield made
    await made.client.aclose()


async def test_the_console_is_told_of_every_model(two):
    told = (await two.client.get("/console/api/session")).json()["models"]
    assert [(each["name"], each["parent"], each["context_length"]) for each in told] == [
        ("tiny", None, 4096),
        ("small", None, 512),
        ("adapted", "small", 512),
    ]
    assert all("completions" in each["capabilities"] for each in told)


async def test_requests_go_where_their_model_is(two):
    assert await two.said() == ("tiny", "one")
    assert await two.said(model="small") == ("small", "two")
    assert await two.said(model="tiny") == ("tiny", "one")
    assert await two.said(model="adapted") == ("adapted", "two")
    assert [request.adapter for request in two.second.requests] == [None, "adapted"]
    assert {request.adapter for request in two.first.requests} == {None}
    answer = await two.client.post("/v1/chat/completions", json={**CHAT, "model": "other"})
    assert answer.status_code == 404 and "'tiny', 'small', 'adapted'" in answer.json()["error"]["message"]


async def test_every_protocol_and_the_smaller_window(two):
    asked = {"model": "small", "max_tokens": 9}
    for path, body, read in (
        ("/v1/completions", {"prompt": "a"}, lambda answer: answer["choices"][0]["text"]),
        ("/v1/responses", {"input": "hi", "model": "small"}, lambda answer: answer["output"][0]["content"][0]["text"]),
        ("/v1/messages", CHAT, lambda answer: answer["content"][0]["text"]),
    ):
        whole = asked if path != "/v1/responses" else {}
        answer = (await two.client.post(path, json={**whole, **body})).json()
        assert (answer["model"], read(answer)) == ("small", "two"), path
    answer = await two.client.post("/v1/completions", json={"model": "small", "prompt": "a" * 600})
    assert answer.json()["error"]["code"] == "context_length_exceeded"
    assert (await two.client.post("/v1/completions", json={"prompt": "a" * 600})).status_code == 200
    counted = (await two.client.post("/tokenize", json={"model": "small", "content": "a"})).json()
    assert counted["max_model_len"] == 512


async def test_they_are_listed(two):
    entries = {entry["id"]: entry for entry in (await two.client.get("/v1/models")).json()["data"]}
    assert list(entries) == ["tiny", "small", "adapted"]
    assert (entries["small"]["context_length"], entries["small"]["license"]) == (512, "apache-2.0")
    assert (entries["adapted"]["parent"], entries["adapted"]["context_length"]) == ("small", 512)
    assert "parent" not in entries["small"]
    assert (await two.client.get("/v1/models/small")).json() == entries["small"]
    headers = {"anthropic-version": "2023-06-01"}
    listed = (await two.client.get("/v1/models", headers=headers)).json()
    assert (listed["first_id"], listed["last_id"]) == ("tiny", "adapted")
    shown = (await two.client.get("/metrics")).text
    assert "dovetail_engine_kv_blocks 16.0" in shown, "both engines together, an adapter's not twice"


async def test_ready_when_all_are(two):
    two.second.ready = False
    assert (await two.client.get("/ready")).status_code == 503
    answer = await two.client.post("/v1/chat/completions", json={**CHAT, "model": "small"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "model_loading")
    assert await two.said() == ("tiny", "one")


async def test_an_adapter_that_went_answers_what_it_has_begun_and_nothing_more(two):
    two.app.state.models.remove("adapted")
    answer = await two.client.post("/v1/chat/completions", json={**CHAT, "model": "adapted"})
    assert answer.status_code == 404
