"""Through a real server: the official openai client, streaming as it happens, and clients that leave."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterator

import openai
import pytest

from dovetail.serve.engine.fake import Step
from dovetail.serve.types import Request, TokensEvent

CHAT = "/v1/chat/completions"
MESSAGES = [{"role": "user", "content": "hi"}]


def endless(request: Request) -> Iterator[Step]:
    for _ in itertools.count():
        yield TokensEvent(request_id="", tokens=(97,), text="a", origins=("sampled",))
        yield 0.01


def slow_start(request: Request) -> Iterator[Step]:
    yield 0.3
    yield from endless(request)


@pytest.fixture
async def client(make_live):
    live = await make_live()
    async with openai.AsyncOpenAI(base_url=f"{live.url}/v1", api_key="none", max_retries=0) as client:
        yield client


async def test_openai_chat(client):
    answer = await client.chat.completions.create(model="tiny", messages=MESSAGES, n=2, logprobs=True, top_logprobs=1)
    assert [choice.message.content for choice in answer.choices] == ["Hello, wörld"] * 2
    assert answer.choices[0].logprobs.content[0].top_logprobs[0].bytes == [72]
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


async def test_openai_chat_stream(client):
    stream = await client.chat.completions.create(
        model="tiny", messages=MESSAGES, n=2, stream=True, stream_options={"include_usage": True}
    )
    texts, finished, usage = {0: "", 1: ""}, set(), None
    async for chunk in stream:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
            if choice.finish_reason:
                finished.add(choice.index)
    assert texts == {0: "Hello, wörld", 1: "Hello, wörld"}
    assert finished == {0, 1}
    assert usage.completion_tokens == 26


async def test_openai_completions(client):
    answer = await client.completions.create(model="tiny", prompt="x", logprobs=1, echo=False)
    assert answer.choices[0].text == "Hello, wörld"
    assert answer.choices[0].logprobs.tokens[0] == "H"
    stream = await client.completions.create(model="tiny", prompt=[1, 2], stream=True)
    assert "".join([chunk.choices[0].text async for chunk in stream]) == "Hello, wörld"


async def test_openai_fills_in_the_middle(make_live, filling):
    live = await make_live(served=filling)
    async with openai.AsyncOpenAI(base_url=f"{live.url}/v1", api_key="none", max_retries=0) as client:
        answer = await client.completions.create(model="tiny", prompt="a", suffix="b", best_of=3, n=2)
        assert [choice.text for choice in answer.choices] == ["Hello, wörld"] * 2
        stream = await client.completions.create(model="tiny", prompt="a", suffix="b", stream=True)
        assert "".join([chunk.choices[0].text async for chunk in stream]) == "Hello, wörld"
    assert live.engine.requests[-1].prompt == (258, *b"a", 259, *b"b", 260)


async def test_openai_files_and_batches(client):
    requests = [
        {"custom_id": f"r{number}", "method": "POST", "url": CHAT, "body": {"model": "tiny", "messages": MESSAGES}}
        for number in range(30)
    ]
    content = "".join(json.dumps(each) + "\n" for each in requests).encode()
    file = await client.files.create(file=("in.jsonl", content), purpose="batch")
    assert (await client.files.retrieve(file.id)).bytes == len(content)
    assert (await client.files.content(file.id)).content == content
    batch = await client.batches.create(
        input_file_id=file.id, endpoint=CHAT, completion_window="24h", metadata={"a": "b"}
    )
    async with asyncio.timeout(20):
        while batch.status not in ("completed", "failed"):
            await asyncio.sleep(0.01)
            batch = await client.batches.retrieve(batch.id)
    assert (batch.status, batch.errors, batch.error_file_id) == ("completed", None, None)
    assert (batch.request_counts.completed, batch.request_counts.failed) == (30, 0)
    assert batch.usage.output_tokens == 30 * 13
    lines = (await client.files.content(batch.output_file_id)).text.splitlines()
    assert [json.loads(each)["custom_id"] for each in lines] == [f"r{number}" for number in range(30)]
    assert [each.id async for each in client.batches.list(limit=1)] == [batch.id]
    assert [each.id async for each in client.files.list(purpose="batch", limit=1)] == [file.id]
    assert {each.id async for each in client.files.list(limit=1)} == {file.id, batch.output_file_id}
    with pytest.raises(openai.ConflictError):
        await client.batches.cancel(batch.id)
    assert (await client.files.delete(file.id)).deleted
    with pytest.raises(openai.NotFoundError):
        await client.files.retrieve(file.id)
    with pytest.raises(openai.BadRequestError) as caught:
        await client.embeddings.create(model="tiny", input="a")
    assert caught.value.code == "unsupported_model"


async def test_openai_models_and_errors(client):
    assert [model.id async for model in client.models.list()] == ["tiny"]
    assert (await client.models.retrieve("tiny")).owned_by == "dovetail"
    with pytest.raises(openai.NotFoundError, match="serves 'tiny'"):
        await client.chat.completions.create(model="gpt-4", messages=MESSAGES)
    with pytest.raises(openai.BadRequestError) as caught:
        await client.chat.completions.create(model="tiny", messages=MESSAGES, temperature=5)
    assert caught.value.param == "temperature"
    with pytest.raises(openai.BadRequestError) as caught:
        await client.completions.create(model="tiny", prompt="x" * 5000)
    assert caught.value.code == "context_length_exceeded"


async def test_headers_leave_at_once_and_silence_is_filled(make_live):
    live = await make_live(slow_start, keepalive_seconds=0.05)
    async with live.client.stream("POST", CHAT, json={"messages": MESSAGES, "stream": True}) as answer:
        assert answer.status_code == 200
        lines = []
        async for line in answer.aiter_lines():
            lines.append(line)
            if '"content":"a"' in line:
                break
    assert '"content":"a"' in lines[-1]
    assert ": keepalive" in lines


@pytest.mark.parametrize("answers", [1, 2])
async def test_leaving_in_mid_stream_cancels(make_live, answers):
    live = await make_live(endless)
    body = {"messages": MESSAGES, "stream": True, "n": answers}
    async with live.client.stream("POST", CHAT, json=body) as answer:
        async for line in answer.aiter_lines():
            if '"content":"a"' in line:
                break
    await live.until(lambda: len(live.engine.cancelled) == answers and live.engine.running == 0)
    await still_serves(live)


async def test_leaving_while_nothing_is_said_cancels(make_live):
    live = await make_live(lambda request: iter([60.0]))
    async with live.client.stream("POST", CHAT, json={"messages": MESSAGES, "stream": True}) as answer:
        async for _ in answer.aiter_lines():
            break
    await live.until(lambda: len(live.engine.cancelled) == 1 and live.engine.running == 0)
    await still_serves(live)


@pytest.mark.parametrize(
    ("url", "body"),
    [
        (CHAT, {"messages": MESSAGES}),
        ("/v1/completions", {"prompt": "x", "n": 2}),
        ("/v1/edits", {"instruction": "x", "files": [{"path": "a.py", "content": "x = 1\n"}]}),
    ],
)
async def test_leaving_a_whole_request_cancels(make_live, url, body):
    live = await make_live(endless)
    task = asyncio.create_task(live.client.post(url, json=body))
    await live.until(lambda: live.engine.running > 0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await live.until(lambda: live.engine.running == 0)
    assert len(live.engine.cancelled) == len(live.engine.requests)
    await still_serves(live)
    assert 'status="499"} 1.0' in (await live.client.get("/metrics")).text


async def still_serves(live):
    assert (await live.client.get("/ready")).status_code == 200
    assert (await live.client.post("/v1/completions", json={"prompt": 1})).status_code == 400


async def test_leaving_in_the_middle_of_the_body(make_live):
    live = await make_live()
    _, writer = await asyncio.open_connection("127.0.0.1", int(live.url.rsplit(":", 1)[1]))
    writer.write(b"POST /v1/edits HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n{")
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    await still_serves(live)
    assert live.engine.requests == []


async def test_a_client_that_asks_before_it_sends_is_refused_at_once(make_live):
    live = await make_live()
    reader, writer = await asyncio.open_connection("127.0.0.1", int(live.url.rsplit(":", 1)[1]))
    writer.write(b"POST /v1/edits HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 99999999\r\n\r\n")
    assert b" 413 " in await reader.readline()
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("width", [5, 6, 7, 8])
async def test_a_long_list_of_ignored_fields_is_cut_to_a_header(make_live, width):
    live = await make_live()
    names = {f"x{number:0{width}}": 1 for number in range(300)}
    answer = await live.client.post("/v1/completions", json={"prompt": "a", **names})
    assert answer.status_code == 200 and len(answer.headers["x-dovetail-ignored"]) <= 1024
