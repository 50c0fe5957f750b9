"""Streams of /v1/responses, event by event, against the types of the openai package and of Open Responses."""

from __future__ import annotations

import json
from typing import Any

import openresponses_types
import pydantic
import pytest
from marked_dialect import marked_model
from openai.types.responses import Response, ResponseStreamEvent

from dovetail.serve.errors import EngineError
from dovetail.serve.types import ErrorEvent

URL = "/v1/responses"
EVENT = pydantic.TypeAdapter(ResponseStreamEvent)
READ = {"type": "function", "name": "read", "parameters": {"type": "object"}}
PATCH = {"type": "custom", "name": "patch"}
SPACE = {"type": "namespace", "name": "agents", "description": "Helpers", "tools": [{**READ, "name": "spawn"}]}
ANSWER = (
    "<think>let ",
    "me see</think>",
    "\n\nI lo",
    "ok.\n",
    '<call read>{"path": ',
    '"a.py"}</call>\n<call agents__spawn>{}</call><call patch>*** Begin',
    "\n***</call>",
)


def events_of(text: str) -> list[dict[str, Any]]:
    events = []
    for block in text.split("\n\n"):
        if not block or block.startswith(":"):
            continue
        head, data = block.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert head == f"event: {event['type']}"
        events.append(event)
    return events


@pytest.fixture
async def streamed(make_api, saying):
    async def ask(*pieces: str, **fields: Any) -> list[dict[str, Any]]:
        api = make_api(saying(*pieces), served=marked_model())
        answer = await api.post(URL, {"model": "tiny", "input": "hi", "stream": True, **fields})
        assert answer.status_code == 200, answer.text
        return events_of(answer.text)

    return ask


async def test_text_alone(streamed):
    events = await streamed("Hel", "lo")
    assert [event["type"].removeprefix("response.") for event in events] == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert events[2]["item"]["content"] == []
    [item] = events[-1]["response"]["output"]
    assert item["content"][0]["text"] == "Hello"
    assert item["id"] == events[2]["item"]["id"] == events[4]["item_id"]
    assert events[0]["response"]["id"] == events[-1]["response"]["id"]
    assert events[-1]["response"]["usage"]["total_tokens"] > 5


@pytest.mark.parametrize(
    "fields", [{}, {"reasoning": {"summary": "auto"}}, {"include": ["reasoning.encrypted_content"]}]
)
async def test_every_event_is_one_that_the_openai_package_knows(streamed, fields):
    events = await streamed(*ANSWER, tools=[READ, SPACE, PATCH], **fields)
    for event in events:
        EVENT.validate_python(event)
    Response.model_validate(events[-1]["response"])
    assert [item["type"] for item in events[-1]["response"]["output"]] == [
        "reasoning",
        "message",
        "function_call",
        "function_call",
        "custom_tool_call",
    ]


async def test_events_are_those_of_open_responses(streamed):
    by_type = {
        kind.value: model
        for name, model in vars(openresponses_types).items()
        if name.endswith("StreamingEvent")
        for kind in model.model_fields["type"].annotation
    }
    events = await streamed(*ANSWER[2:5], "</call>", tools=[READ])
    for event in events:
        by_type[event["type"]].model_validate(event)
    assert len({event["type"] for event in events}) == 11


async def test_deltas_add_up_to_the_items(streamed):
    events = await streamed(*ANSWER, tools=[READ, SPACE, PATCH])
    items = events[-1]["response"]["output"]
    for index, item in enumerate(items):
        mine = [event for event in events if event.get("output_index") == index]
        deltas = "".join(event["delta"] for event in mine if event["type"].endswith(".delta"))
        whole = item.get("arguments", item.get("input")) or item.get("content", [{"text": ""}])[0]["text"]
        assert deltas == whole
        assert mine[0]["item"]["status"] == "in_progress"
        assert mine[-1]["item"] == item
        assert item["status"] == "completed"
        assert {event["item_id"] for event in mine[1:-1]} <= {item["id"]}
    reasoning, message, read, spawn, patch = items
    assert reasoning["content"] == [{"type": "reasoning_text", "text": "let me see"}]
    assert message["content"][0]["text"] == "\n\nI look.\n"
    assert (read["name"], read["arguments"]) == ("read", '{"path": "a.py"}')
    assert "namespace" not in read
    assert (spawn["name"], spawn["namespace"], spawn["arguments"]) == ("spawn", "agents", "{}")
    assert (patch["name"], patch["input"]) == ("patch", "*** Begin\n***")
    assert len({item["call_id"] for item in items[2:]}) == 3


async def test_a_budget_that_ends_makes_the_response_incomplete(streamed):
    events = await streamed("<call read>", "{", '"path": "a.py"}</call>', tools=[READ], max_output_tokens=12)
    response = events[-1]["response"]
    assert (events[-1]["type"], response["status"]) == ("response.incomplete", "incomplete")
    assert response["incomplete_details"] == {"reason": "max_output_tokens"}
    assert response["output"][0]["status"] == "incomplete"
    assert response["output"][0]["arguments"] == "{"


@pytest.mark.parametrize("pieces", [(), (" \n",)])
async def test_an_empty_answer_is_a_message(streamed, pieces):
    [item] = (await streamed(*pieces))[-1]["response"]["output"]
    assert item["content"][0]["text"] == "".join(pieces)


async def test_log_probabilities(streamed):
    events = await streamed("ab", "c", include=["message.output_text.logprobs"], top_logprobs=1)
    deltas = [event for event in events if event["type"] == "response.output_text.delta"]
    assert [entry["token"] for delta in deltas for entry in delta["logprobs"]] == ["a", "b", "c"]
    assert len(events[-1]["response"]["output"][0]["content"][0]["logprobs"][0]["top_logprobs"]) == 1


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (ErrorEvent(request_id="", status=503, code="engine_unavailable", message="gone"), "server_error"),
        (ErrorEvent(request_id="", status=429, code="queue_full", message="gone"), "rate_limit_exceeded"),
        (EngineError("gone"), "server_error"),
    ],
)
async def test_a_failure_in_mid_stream(make_api, saying, failure, code):
    def script(request):
        yield from list(saying("Hel", "lo")(request))[:1]
        yield failure

    answer = await make_api(script).post(URL, {"input": "hi", "stream": True})
    events = events_of(answer.text)
    failed, error = events[-2:]
    assert (failed["type"], failed["response"]["status"]) == ("response.failed", "failed")
    assert failed["response"]["error"] == {"code": code, "message": "gone"}
    assert (error["type"], error["code"], error["error"]["message"]) == ("error", code, "gone")
    for event in events:
        EVENT.validate_python(event)


async def test_a_whole_response_is_what_the_stream_ends_with(make_api, saying):
    api = make_api(saying(*ANSWER), served=marked_model())
    body = {"input": "hi", "tools": [READ, SPACE, PATCH]}
    whole = (await api.post(URL, body)).json()
    streamed = events_of((await api.post(URL, {**body, "stream": True})).text)[-1]["response"]
    Response.model_validate(whole)
    openresponses_types.ResponseResource.model_validate(
        {**whole, "tools": [], "output": [item for item in whole["output"] if item["type"] != "custom_tool_call"]}
    )

    def shape(response: dict[str, Any]) -> dict[str, Any]:
        items = [{**item, "id": "", "call_id": ""} for item in response["output"]]
        return {**response, "id": "", "created_at": 0, "completed_at": 0, "output": items}

    assert shape(whole) == shape(streamed)
