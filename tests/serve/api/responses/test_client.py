"""The official openai client against a real server, its strict stream helper above all, and clients that leave."""

from __future__ import annotations

import itertools

import openai
import pytest
from marked_dialect import marked_model
from pydantic import BaseModel

from dovetail.serve.types import ErrorEvent, TokensEvent

URL = "/v1/responses"
READ = {"type": "function", "name": "read", "parameters": {"type": "object"}, "strict": False}
ANSWER = ("<think>hm", "</think>I look.", '<call read>{"path": ', '"a.py"}</call>')


@pytest.fixture
async def connect(make_live):
    clients = []

    async def make(script) -> openai.AsyncOpenAI:
        live = await make_live(script, served=marked_model())
        clients.append(openai.AsyncOpenAI(base_url=f"{live.url}/v1", api_key="any", max_retries=0))
        return clients[-1]

    yield make
    for client in clients:
        await client.close()


async def test_the_stream_helper_collects_what_create_gives(connect, saying):
    client = await connect(saying(*ANSWER))
    async with client.responses.stream(model="tiny", input="hi", tools=[READ]) as stream:
        kinds = [event.type async for event in stream]
        streamed = await stream.get_final_response()
    whole = await client.responses.create(model="tiny", input="hi", tools=[READ])
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"
    assert [item.type for item in streamed.output] == ["reasoning", "message", "function_call"]
    assert streamed.output_text == whole.output_text == "I look."
    assert streamed.output[2].arguments == whole.output[2].arguments == '{"path": "a.py"}'
    assert streamed.usage == whole.usage


async def test_a_response_is_parsed(connect, saying):
    class Point(BaseModel):
        x: int

    client = await connect(saying('{"x"', ": 3}"))
    parsed = await client.responses.parse(model="tiny", input="hi", text_format=Point)
    assert parsed.output_parsed == Point(x=3)
    async with client.responses.stream(model="tiny", input="hi", text_format=Point) as stream:
        assert (await stream.get_final_response()).output_parsed == Point(x=3)


async def test_the_other_endpoints(connect, saying):
    client = await connect(saying("Hello"))
    made = await client.responses.create(model="tiny", input="hi", background=True)
    async with client.responses.stream(response_id=made.id) as stream:
        assert (await stream.get_final_response()).output_text == "Hello"
    assert (await client.responses.retrieve(made.id)).output_text == "Hello"
    assert [item.role async for item in client.responses.input_items.list(made.id)] == ["user"]
    assert (await client.responses.cancel(made.id)).status == "completed"
    await client.responses.delete(made.id)
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(made.id)
    talk = await client.conversations.create(items=[{"role": "user", "content": "a"}])
    await client.responses.create(model="tiny", input="b", conversation=talk.id)
    assert len([item async for item in client.conversations.items.list(talk.id)]) == 3
    assert (await client.responses.input_tokens.count(model="tiny", input="hi")).input_tokens > 0
    compacted = await client.responses.compact(model="tiny", input=[{"role": "user", "content": "a"}])
    assert compacted.output[-1].type == "compaction"


async def test_failures_are_the_clients_own_errors(connect, saying):
    client = await connect(saying("x"))
    with pytest.raises(openai.BadRequestError) as caught:
        await client.responses.create(model="tiny", input="x" * 5000)
    assert caught.value.code == "context_length_exceeded"
    broken = await connect(
        lambda request: iter([ErrorEvent(request_id="", status=503, code="engine_unavailable", message="it broke")])
    )
    with pytest.raises(openai.InternalServerError, match="it broke"):
        await broken.responses.create(model="tiny", input="x")
    with pytest.raises(openai.APIError, match="it broke"):
        async for _ in await broken.responses.create(model="tiny", input="x", stream=True):
            pass


def endless(request):
    for _ in itertools.count():
        yield TokensEvent(request_id="", tokens=(97,), text="a", origins=("sampled",))
        yield 0.01


@pytest.mark.parametrize(
    ("url", "body"),
    [
        (URL, {"input": "x", "stream": True}),
        ("/v1/messages", {"messages": [{"role": "user", "content": "x"}], "max_tokens": 999, "stream": True}),
    ],
)
async def test_leaving_in_mid_stream_cancels(make_live, url, body):
    live = await make_live(endless)
    async with live.client.stream("POST", url, json=body) as answer:
        async for line in answer.aiter_lines():
            if "delta" in line:
                break
    await live.until(lambda: len(live.engine.cancelled) == 1 and live.engine.running == 0)


@pytest.mark.parametrize(
    ("url", "body"),
    [
        (URL, {"input": "x", "stream": True}),
        ("/v1/messages", {"messages": [{"role": "user", "content": "x"}], "max_tokens": 9, "stream": True}),
    ],
)
async def test_silence_is_filled(make_live, saying, url, body):
    def slow(request):
        yield 0.2
        yield from saying("Hello")(request)

    live = await make_live(slow, keepalive_seconds=0.04)
    assert (await live.client.post(url, json=body)).text.count(": keepalive\n\n") >= 2
