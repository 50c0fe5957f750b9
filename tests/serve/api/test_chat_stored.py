"""Stored chat completions through the official client: made, listed, read, relabelled, deleted."""

from __future__ import annotations

import pytest
from openai import AsyncOpenAI, NotFoundError

URL = "/v1/chat/completions"
USER = {"role": "user", "content": "hi"}


@pytest.fixture
async def client(make_live):
    live = await make_live()
    async with AsyncOpenAI(base_url=f"{live.url}/v1", api_key="none", max_retries=0) as client:
        yield client


async def made(client: AsyncOpenAI, **labels: str):
    return await client.chat.completions.create(model="tiny", messages=[USER], store=True, metadata=labels)


async def test_a_stored_completion_lives_until_it_is_deleted(client):
    completion = await made(client, kind="greeting")
    assert completion.metadata == {"kind": "greeting"}
    again = await client.chat.completions.retrieve(completion.id)
    assert again == completion
    changed = await client.chat.completions.update(completion.id, metadata={"kind": "other"})
    assert changed.metadata == {"kind": "other"}
    messages = await client.chat.completions.messages.list(completion.id)
    assert [(message.role, message.content) for message in messages.data] == [("user", "hi")]
    assert (await client.chat.completions.delete(completion.id)).deleted
    with pytest.raises(NotFoundError):
        await client.chat.completions.retrieve(completion.id)


async def test_lists_are_filtered_and_paged(client):
    ids = [(await made(client, number=str(number % 2))).id for number in range(5)]
    assert [each.id async for each in client.chat.completions.list(limit=2)] == ids
    assert [each.id async for each in client.chat.completions.list(order="desc")] == ids[::-1]
    assert [each.id async for each in client.chat.completions.list(metadata={"number": "1"})] == [ids[1], ids[3]]
    assert [each.id async for each in client.chat.completions.list(model="other")] == []


async def test_only_what_is_to_be_stored_is(api):
    for fields in ({}, {"store": False}):
        await api.post(URL, {"messages": [USER], **fields})
    assert (await api.client.get(URL)).json()["data"] == []
    await api.post(URL, {"messages": [USER], "store": True, "stream": True})
    [kept] = (await api.client.get(URL)).json()["data"]
    assert kept["choices"][0]["message"]["content"] == "Hello, wörld"


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "limit=000001" + "0" * 5000, "limit=x", "order=up", "after=nothing"]
)
async def test_a_bad_query_is_named(api, query):
    answer = await api.client.get(f"{URL}?{query}")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, query.split("=")[0])


async def test_what_is_not_there(api):
    for method, path in (("GET", "/x"), ("POST", "/x"), ("DELETE", "/x"), ("GET", "/x/messages")):
        assert (await api.client.request(method, URL + path, json={"metadata": {}})).status_code == 404


async def test_it_is_kept_before_the_chunk_that_ends_it_is_told(make_live, tmp_path):
    live = await make_live(store=tmp_path / "store.db")
    body = {"messages": [USER], "store": True, "stream": True, "n": 2}
    async with live.client.stream("POST", URL, json=body) as answer:
        async for line in answer.aiter_lines():
            if line.count('"finish_reason":"stop"') and '"index":1' in line:
                break  # as some clients do
    [kept] = (await live.client.get(URL)).json()["data"]
    assert [choice["finish_reason"] for choice in kept["choices"]] == ["stop", "stop"]
