"""/v1/messages against a scripted engine: whole and streamed, each event checked against the types of the anthropic package."""

from __future__ import annotations

import json
from typing import Any

import pydantic
import pytest
from anthropic.types import Message, RawMessageStreamEvent
from marked_dialect import marked_model

from dovetail.serve.types import ErrorEvent, FinishEvent, TokensEvent, Usage

URL = "/v1/messages"
EVENT = pydantic.TypeAdapter(RawMessageStreamEvent)
READ = {"name": "Read", "description": "Read a file", "input_schema": {"type": "object"}}
HI = [{"role": "user", "content": "hi"}]
THINKING = {"type": "adaptive", "display": "updates"}
ANSWER = ("<think>let ", "me see</think>\n\nI lo", "ok.\n", '<call Read>{"path": ', '"a.py"}</call>')


def ask(**fields: Any) -> dict[str, Any]:
    return {"model": "tiny", "max_tokens": 100, "messages": HI, **fields}


def events_of(text: str) -> list[dict[str, Any]]:
    events = []
    for block in text.split("\n\n"):
        if block and not block.startswith(":"):
            head, data = block.split("\n")
            events.append(json.loads(data.removeprefix("data: ")))
            assert head == f"event: {events[-1]['type']}"
    return events


@pytest.fixture
def thinking_api(make_api, saying):
    return make_api(saying(*ANSWER), served=marked_model())


async def test_a_stream_is_one_that_the_anthropic_package_knows(thinking_api):
    answer = await thinking_api.post(URL, ask(stream=True, tools=[READ], thinking=THINKING))
    events = events_of(answer.text)
    for event in events:
        EVENT.validate_python(event)
    assert [event["type"].removeprefix("content_block_") for event in events] == [
        "message_start",
        *("start", "delta", "delta", "delta", "stop"),
        *("start", "delta", "delta", "stop"),
        *("start", "delta", "delta", "stop"),
        "message_delta",
        "message_stop",
    ]
    thinking, text, call = (event for event in events if event["type"] == "content_block_start")
    assert thinking["content_block"] == {"type": "thinking", "thinking": "", "signature": ""}
    assert text["content_block"] == {"type": "text", "text": ""}
    assert call["content_block"]["input"] == {}
    deltas = [event["delta"] for event in events if event["type"] == "content_block_delta"]
    assert "".join(delta.get("thinking", "") for delta in deltas) == "let me see"
    assert "".join(delta.get("text", "") for delta in deltas) == "\n\nI look.\n"
    assert json.loads("".join(delta.get("partial_json", "") for delta in deltas)) == {"path": "a.py"}
    assert events[-2]["delta"] == {"stop_reason": "tool_use", "stop_sequence": None}


async def test_a_whole_message(thinking_api):
    answer = await thinking_api.post(URL, ask(tools=[READ], thinking=THINKING))
    body = answer.json()
    message = Message.model_validate(body)
    assert [block.type for block in message.content] == ["thinking", "text", "tool_use"]
    assert message.content[2].input == {"path": "a.py"}
    assert message.content[2].id.startswith("toolu_")
    assert message.stop_reason == "tool_use"
    assert body["usage"]["input_tokens"] == len(thinking_api.engine.requests[0].prompt)
    assert answer.headers["request-id"] == answer.headers["x-request-id"]


async def test_thinking_is_shown_where_it_was_asked_for(thinking_api):
    plain = (await thinking_api.post(URL, ask(tools=[READ]))).json()
    assert [block["type"] for block in plain["content"]] == ["text", "tool_use"]
    assert thinking_api.engine.requests[0].prompt != ()
    omitted = {"type": "adaptive", "display": "omitted"}
    sealed = (await thinking_api.post(URL, ask(tools=[READ], thinking=omitted))).json()["content"][0]
    assert sealed["thinking"] == ""
    assert sealed["signature"]


@pytest.mark.parametrize("display", ["updates", "omitted", None])
async def test_thinking_comes_back_through_its_signature(thinking_api, display):
    asked = ask(tools=[READ], thinking={"type": "adaptive", "display": display})
    content = (await thinking_api.post(URL, asked)).json()["content"]
    result = {"type": "tool_result", "tool_use_id": content[2]["id"], "content": "x = 1\n"}
    turns = [*HI, {"role": "assistant", "content": content}, {"role": "user", "content": [result]}]
    again = await thinking_api.post(URL, {**asked, "messages": turns})
    prompt = bytes(thinking_api.engine.requests[-1].prompt).decode()
    assert '"reasoning_content": "let me see"' in prompt
    assert "x-dovetail-ignored" not in again.headers
    content[0]["signature"] = "EqQB" + content[0]["signature"]
    foreign = await thinking_api.post(URL, {**asked, "messages": turns})
    assert foreign.status_code == 200
    assert foreign.headers["x-dovetail-ignored"] == "messages[1].content[0]"
    assert "reasoning_content" not in bytes(thinking_api.engine.requests[-1].prompt).decode()


@pytest.mark.parametrize(
    ("pieces", "fields", "expected"),
    [
        (["hello"], {}, ("end_turn", None)),
        (["hello", " world"], {"max_tokens": 5}, ("max_tokens", None)),
        (["<call Read>", '{"path', '": 1}</call>'], {"max_tokens": 18, "tools": [READ]}, ("max_tokens", None)),
    ],
)
async def test_stop_reasons(make_api, saying, pieces, fields, expected):
    api = make_api(saying(*pieces), served=marked_model())
    body = (await api.post(URL, ask(**fields))).json()
    assert (body["stop_reason"], body["stop_sequence"]) == expected
    Message.model_validate(body)


async def test_a_stop_sequence_is_named(make_api):
    def script(request):
        assert request.sampling.stop == ("END", "###")
        yield TokensEvent(request_id="", tokens=(97,), text="a", origins=("sampled",))
        yield FinishEvent(request_id="", reason="stop", stop="###", usage=Usage(prompt_tokens=9, completion_tokens=1))

    body = (await make_api(script).post(URL, ask(stop_sequences=["END", "###"]))).json()
    assert (body["stop_reason"], body["stop_sequence"]) == ("stop_sequence", "###")


async def test_a_budget_beyond_the_window_is_clamped(make_api, saying):
    api = make_api(saying("x" * 50, "y" * 500), served=marked_model(max_model_len=200))
    body = (await api.post(URL, ask(max_tokens=128_000))).json()
    assert body["stop_reason"] == "model_context_window_exceeded"
    asked = api.engine.requests[0]
    assert asked.sampling.max_tokens == 200 - len(asked.prompt)


@pytest.mark.parametrize("stream", [False, True])
async def test_no_tokens_at_all_fill_the_cache_alone(make_api, saying, stream):
    api = make_api(saying("hello", " world"), served=marked_model())
    answer = await api.post(URL, ask(max_tokens=0, stream=stream))
    assert api.engine.requests[0].sampling.max_tokens == 1
    if stream:
        events = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]
        assert [event["type"] for event in events] == ["message_start", "message_delta", "message_stop"]
        body = {"content": [], **events[1]["delta"], "usage": events[1]["usage"]}
    else:
        body = answer.json()
        Message.model_validate(body)
    assert (body["content"], body["stop_reason"], body["usage"]["output_tokens"]) == ([], "max_tokens", 0)


async def test_the_servers_own_limit_is_not_the_windows(make_api, saying):
    api = make_api(saying("x" * 5, "y" * 500), served=marked_model(), max_output_tokens=10)
    body = (await api.post(URL, ask(max_tokens=128_000))).json()
    assert body["stop_reason"] == "max_tokens"


async def test_what_came_from_the_cache_is_counted_apart(make_api):
    usage = Usage(prompt_tokens=90, cached_tokens=64, completion_tokens=3)
    api = make_api(lambda request: iter([FinishEvent(request_id="", reason="stop", usage=usage)]))
    told = (await api.post(URL, ask())).json()["usage"]
    assert (told["input_tokens"], told["cache_read_input_tokens"], told["output_tokens"]) == (26, 64, 3)


async def test_a_prompt_that_is_too_long(api):
    error = (await api.post(URL, ask(messages=[{"role": "user", "content": "x" * 5000}]))).json()
    assert error["type"] == "error"
    assert error["error"]["type"] == "invalid_request_error"
    assert error["error"]["message"].startswith("prompt is too long: 50")
    assert error["error"]["message"].endswith(" tokens > 4095 maximum")


async def test_counting_tokens(thinking_api):
    fields = {"messages": HI, "tools": [READ], "system": "Be short."}
    counted = (await thinking_api.post(f"{URL}/count_tokens", {"model": "tiny", **fields})).json()
    await thinking_api.post(URL, ask(**fields))
    assert counted == {"input_tokens": len(thinking_api.engine.requests[0].prompt)}


async def test_probes(api):
    assert (await api.client.head("/api/hello")).status_code == 200
    assert (await api.client.get("/api/hello")).status_code == 200


@pytest.mark.parametrize(
    ("body", "status", "kind", "said"),
    [
        ({"messages": HI, "model": "claude-opus-5-5"}, 404, "not_found_error", "serves 'tiny'"),
        ({"messages": [{"role": "robot", "content": "x"}]}, 400, "invalid_request_error", "messages.0.role: Input"),
        ({"messages": []}, 400, "invalid_request_error", "messages"),
        ({"max_tokens": 5}, 400, "invalid_request_error", "messages is required"),
        ({"messages": HI, "temperature": 5}, 400, "invalid_request_error", "temperature"),
        ({"messages": HI, "tools": [{"input_schema": {}}]}, 400, "invalid_request_error", "tools.0.name"),
        ({"messages": HI, "tool_choice": {"type": "tool", "name": "x"}}, 400, "invalid_request_error", "'x'"),
    ],
)
async def test_errors_are_in_anthropics_shape(api, body, status, kind, said):
    answer = await api.post(URL, body)
    assert (answer.status_code, answer.json()["error"]["type"]) == (status, kind)
    assert said in answer.json()["error"]["message"]
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


async def test_loading_and_full_servers_say_when_to_try_again(make_api):
    loading = await make_api(ready=False).post(URL, ask())
    assert (loading.status_code, loading.json()["error"]["type"]) == (503, "overloaded_error")
    full = await make_api(max_in_flight=0).post(URL, ask())
    assert (full.status_code, full.json()["error"]["type"]) == (429, "rate_limit_error")
    assert loading.headers["retry-after"] == full.headers["retry-after"] == "2"


async def test_a_failure_in_mid_stream(make_api, saying):
    def script(request):
        yield from list(saying("Hel", "lo")(request))[:1]
        yield ErrorEvent(request_id="", status=503, code="engine_unavailable", message="gone")

    events = events_of((await make_api(script).post(URL, ask(stream=True))).text)
    assert events[-1]["error"] == {"type": "overloaded_error", "message": "gone"}
