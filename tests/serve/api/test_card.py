"""GET /v1/system-card through the application: every answer names the card, and the card comes in every form."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from answer_shapes import check_answer

from dovetail.serve.api.app import create_app
from dovetail.serve.api.hosted import Hosted
from dovetail.serve.api.served import ServedModel
from dovetail.serve.engine.fake import FakeEngine, reply
from dovetail.serve.govern.card.facts import Facts
from dovetail.serve.govern.card.hosting import Hosting
from dovetail.serve.govern.card.keeper import CardKeeper

CARD = "/v1/system-card"


@pytest.fixture
async def client(served: ServedModel, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    facts = Facts(
        model=served.name,
        created=served.created,
        context_length=served.max_model_len,
        capabilities=served.capabilities,
        directory=tmp_path,
        configuration={},
        version="1",
        weights="0" * 64,
    )
    engine = FakeEngine(lambda request: reply(request, ["hi"], lambda text: list(text.encode())))
    app = create_app(engine, served, card=CardKeeper(facts, lambda: None))
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    hooks = {"response": [check_answer]}
    async with httpx.AsyncClient(transport=transport, base_url="http://test", event_hooks=hooks) as client:
        yield client


async def test_every_answer_names_the_card(client: httpx.AsyncClient) -> None:
    card = (await client.get(CARD)).json()
    bodies = {
        "/v1/chat/completions": {"messages": [{"role": "user", "content": "hi"}]},
        "/v1/completions": {"prompt": "hi"},
    }
    for path, body in bodies.items():
        answer = await client.post(path, json={"model": "tiny", **body})
        assert answer.json()["system_fingerprint"] == card["fingerprint"]
    assert (await client.get(f"{CARD}/{card['fingerprint']}")).json() == card
    assert (await client.get(f"{CARD}/{card['id']}")).json() == card
    assert [each["id"] for each in (await client.get(f"{CARD}/history")).json()["data"]] == [card["id"]]


async def test_answers_of_every_model_and_adapter_name_what_the_card_says_of_them(
    served: ServedModel, tmp_path: Path
) -> None:
    facts = Facts(
        model=served.name,
        created=1,
        context_length=served.max_model_len,
        capabilities=served.capabilities,
        directory=tmp_path,
        configuration={},
        version="1",
    )
    keeper = CardKeeper(facts, lambda: None)
    keeper.add(Hosting(replace(facts, model="small"), lambda: None))
    engine = FakeEngine(lambda request: reply(request, ["hi"], lambda text: list(text.encode())))
    app = create_app(engine, served, card=keeper, beside=[Hosted(replace(served, name="small"), engine)])
    (tmp_path / "sql").mkdir()
    app.state.models.add_adapter("sql", app.state.models.find("small"), tmp_path / "sql")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://test") as client:
        card = (await client.get(CARD)).json()
        named = {each["model"]["name"]: each["fingerprint"] for each in [card, *card["beside"]]}
        assert set(named) == {served.name, "small", "sql"}
        for name, fingerprint in named.items():
            answer = (await client.post("/v1/completions", json={"model": name, "prompt": "hi"})).json()
            assert answer["system_fingerprint"] == fingerprint
            assert (await client.get(f"{CARD}/{fingerprint}")).json()["id"] == card["id"]
        app.state.models.remove("sql")
        assert [each["model"]["name"] for each in (await client.get(CARD)).json()["beside"]] == ["small"]


@pytest.mark.parametrize(
    ("named", "accept", "kind"),
    [
        ("json", "*/*", "application/json"),
        ("markdown", "*/*", "text/markdown"),
        ("html", "*/*", "text/html"),
        ("cyclonedx", "*/*", "application/vnd.cyclonedx+json"),
        ("blocks", "*/*", "application/json"),
        (None, "*/*", "application/json"),
        (None, "text/html,application/xhtml+xml", "text/html"),
        (None, "text/markdown", "text/markdown"),
    ],
)
async def test_forms(client: httpx.AsyncClient, named: str | None, accept: str, kind: str) -> None:
    answer = await client.get(CARD, params={"format": named} if named else {}, headers={"accept": accept})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(kind)
    if kind == "text/html":
        assert "default-src 'none'" in answer.headers["content-security-policy"]


async def test_what_is_not_there_is_said(client: httpx.AsyncClient) -> None:
    wrong = await client.get(CARD, params={"format": "pdf"})
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "format")
    unsigned = await client.get(CARD, params={"format": "dsse"})
    assert (unsigned.status_code, unsigned.json()["error"]["code"]) == (404, "not_signed")
    unknown = await client.get(f"{CARD}/card_{'0' * 24}")
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "card_not_found")
    schema = await client.get(f"{CARD}/schema")
    assert schema.json()["title"] == "Dovetail system card"
