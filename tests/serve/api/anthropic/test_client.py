"""The official anthropic client against a real server."""

from __future__ import annotations

import anthropic
import pytest
from marked_dialect import marked_model

READ = {"name": "Read", "input_schema": {"type": "object", "properties": {"path": {"type": "string"}}}}
HI = [{"role": "user", "content": "hi"}]
ANSWER = ("<think>hm", "</think>I look.", '<call Read>{"path": ', '"a.py"}</call>')


@pytest.fixture
async def connect(make_live, saying):
    clients = []

    async def make(*pieces: str, **options: object) -> anthropic.AsyncAnthropic:
        live = await make_live(saying(*pieces), served=marked_model())
        clients.append(anthropic.AsyncAnthropic(base_url=live.url, max_retries=0, **options))
        return clients[-1]

    yield make
    for client in clients:
        await client.close()


@pytest.mark.parametrize("options", [{"api_key": "any"}, {"auth_token": "any"}])
async def test_create(connect, options):
    client = await connect("Hel", "lo", **options)
    message = await client.messages.create(model="tiny", max_tokens=50, messages=HI)
    assert message.content[0].text == "Hello"
    assert message.stop_reason == "end_turn"
    assert message._request_id


async def test_the_stream_helper_collects_what_create_gives(connect):
    client = await connect(*ANSWER, api_key="any")
    asked = {
        "model": "tiny",
        "max_tokens": 100,
        "messages": HI,
        "tools": [READ],
        "thinking": {"type": "enabled", "budget_tokens": 1024},
    }
    async with client.messages.stream(**asked) as stream:
        kinds = [event.type async for event in stream]
        streamed = await stream.get_final_message()
    whole = await client.messages.create(**asked)
    assert [(block.type, getattr(block, "input", None)) for block in streamed.content] == [
        ("thinking", None),
        ("text", None),
        ("tool_use", {"path": "a.py"}),
    ]
    assert streamed.content[0].thinking == "hm"
    assert streamed.content[0].signature
    assert streamed.usage.output_tokens == whole.usage.output_tokens
    assert (streamed.stop_reason, whole.stop_reason) == ("tool_use", "tool_use")
    assert {"thinking", "signature", "text", "input_json"} <= set(kinds)


async def test_counting_and_models(connect):
    client = await connect("x", api_key="any")
    counted = await client.messages.count_tokens(model="tiny", messages=HI, tools=[READ])
    assert counted.input_tokens > 0
    models = await client.models.list()
    assert [model.id for model in models.data] == ["tiny"]
    assert (await client.models.retrieve("tiny")).display_name == "tiny"


async def test_errors_are_the_clients_own_classes(connect):
    client = await connect("x", api_key="any")
    with pytest.raises(anthropic.NotFoundError, match="serves 'tiny'"):
        await client.messages.create(model="claude", max_tokens=5, messages=HI)
    with pytest.raises(anthropic.BadRequestError, match="prompt is too long: 5"):
        await client.messages.create(model="tiny", max_tokens=5, messages=[{"role": "user", "content": "x" * 5000}])
