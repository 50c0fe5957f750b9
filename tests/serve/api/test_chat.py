"""Chat completions against a scripted engine, in process."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from dovetail.serve.engine.fake import reply
from dovetail.serve.errors import EngineError
from dovetail.serve.types import ErrorEvent, FinishEvent, Usage

URL = "/v1/chat/completions"
ASK = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}]}


def chunks(text: str) -> list[dict[str, Any]]:
    lines = [line.removeprefix("data: ") for line in text.split("\n\n") if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


async def test_the_engine_is_told_which_http_request_asks(make_api):
    asked = []

    def script(request):
        asked.append(request.http_request)
        yield from reply(request, ["hi"], lambda text: list(text.encode()))

    api = make_api(script)
    body = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "n": 2}
    answer = await api.client.post("/v1/chat/completions", json=body, headers={"x-request-id": "r-1"})
    assert answer.headers["x-request-id"] == "r-1"
    assert (answer.status_code, asked) == (200, ["r-1", "r-1"])


async def test_a_whole_answer(api):
    answer = await api.post(URL, ASK)
    assert answer.status_code == 200
    body = answer.json()
    assert body["object"] == "chat.completion"
    assert body["model"] == "tiny"
    assert body["system_fingerprint"].startswith("fp_")
    [choice] = body["choices"]
    assert choice["message"] == {"role": "assistant", "content": "Hello, wörld", "refusal": None}
    assert choice["finish_reason"] == "stop"
    assert choice["logprobs"] is None
    prompt = len(api.engine.requests[0].prompt)
    assert body["usage"] == {
        "prompt_tokens": prompt,
        "completion_tokens": 13,
        "total_tokens": prompt + 13,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
    assert "x-dovetail-ignored" not in answer.headers


async def test_a_stream(api):
    answer = await api.post(URL, {**ASK, "stream": True, "stream_options": {"include_usage": True}})
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    events = chunks(answer.text)
    assert events[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert "".join(each["choices"][0]["delta"].get("content", "") for each in events[:-1]) == "Hello, wörld"
    assert [each["choices"][0]["finish_reason"] for each in events[:-1]] == [None, None, None, None, "stop"]
    assert events[-1]["choices"] == []
    assert events[-1]["usage"]["completion_tokens"] == 13
    assert all(each["usage"] is None for each in events[:-1])
    assert len({each["id"] for each in events}) == 1


async def test_several_answers_have_seeds_of_their_own(api):
    answer = await api.post(URL, {**ASK, "n": 3, "seed": 7})
    assert [choice["index"] for choice in answer.json()["choices"]] == [0, 1, 2]
    assert [request.sampling.seed for request in api.engine.requests] == [7, 8, 9]
    assert answer.json()["usage"]["completion_tokens"] == 39
    assert answer.json()["usage"]["prompt_tokens"] == len(api.engine.requests[0].prompt)


async def test_several_answers_are_streamed_side_by_side(api):
    events = chunks((await api.post(URL, {**ASK, "n": 2, "stream": True})).text)
    order = [each["choices"][0]["index"] for each in events]
    assert order[:2] == [0, 1]
    assert order[2:6] != [0, 0, 0, 0], "the second answer must not wait for the first"
    for index in (0, 1):
        mine = [each["choices"][0] for each in events if each["choices"][0]["index"] == index]
        assert "".join(choice["delta"].get("content", "") for choice in mine) == "Hello, wörld"
        assert mine[-1]["finish_reason"] == "stop"


async def test_sampling_fields_reach_the_engine(api):
    fields = {
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": -1,
        "min_p": 0.1,
        "seed": -1,
        "presence_penalty": 1,
        "frequency_penalty": -1,
        "repetition_penalty": 1.1,
        "logit_bias": {"65": 5},
        "stop": ["\n", "END"],
        "max_tokens": 10,
        "max_completion_tokens": 9,
        "min_tokens": 2,
        "ignore_eos": True,
    }
    assert (await api.post(URL, {**ASK, **fields})).status_code == 200
    sampling = api.engine.requests[0].sampling
    assert (sampling.temperature, sampling.top_p, sampling.top_k, sampling.min_p) == (0.5, 0.9, 0, 0.1)
    assert sampling.seed == 2**63 - 1
    assert (sampling.presence_penalty, sampling.frequency_penalty, sampling.repetition_penalty) == (1, -1, 1.1)
    assert sampling.logit_bias == {65: 5}
    assert sampling.stop == ("\n", "END")
    assert (sampling.max_tokens, sampling.min_tokens, sampling.ignore_eos) == (9, 2, True)


async def test_logprobs(api):
    [choice] = (await api.post(URL, {**ASK, "logprobs": True, "top_logprobs": 2})).json()["choices"]
    first = choice["logprobs"]["content"][0]
    assert (first["token"], first["bytes"], first["logprob"]) == ("H", [72], -0.5)
    assert [each["token"] for each in first["top_logprobs"]] == ["H", "I"]
    assert len(choice["logprobs"]["content"]) == 13
    streamed = chunks((await api.post(URL, {**ASK, "logprobs": True, "stream": True})).text)
    assert sum(len((each["choices"][0]["logprobs"] or {"content": []})["content"]) for each in streamed) == 13


@pytest.mark.parametrize(
    ("path", "body", "length"),
    [
        (URL, ASK, "max_tokens"),
        ("/v1/completions", {"prompt": "hi"}, "max_tokens"),
        ("/v1/responses", {"input": "hi"}, "max_output_tokens"),
        ("/v1/messages", {"model": "tiny", "messages": ASK["messages"]}, "max_tokens"),
        ("/v1/edits", {"instruction": "x", "files": [{"path": "a", "content": "b\n"}]}, "max_tokens"),
    ],
)
async def test_no_answer_is_longer_than_the_server_allows(make_api, saying, path, body, length):
    api = make_api(saying(""), max_output_tokens=20)
    for asked, given in ((32_000, 20), (7, 7)):
        answer = await api.post(path, {**body, length: asked})
        assert answer.status_code == 200, answer.text
        assert api.engine.requests[-1].sampling.max_tokens == given


async def test_max_tokens_beyond_the_room_are_clamped(api):
    assert (await api.post(URL, {**ASK, "max_tokens": 32000})).status_code == 200
    request = api.engine.requests[0]
    assert request.sampling.max_tokens == 4096 - len(request.prompt)


async def test_finish_length(api):
    [choice] = (await api.post(URL, {**ASK, "max_tokens": 4})).json()["choices"]
    assert choice == {**choice, "finish_reason": "length", "message": {**choice["message"], "content": "Hel"}}


async def test_what_is_ignored_is_named(api):
    body = {**ASK, "user": "me", "store": False, "tools": [{"type": "web_search"}], "reasoning_effort": "high"}
    body |= {"tool_choice": "auto", "parallel_tool_calls": True, "weird field\n": 1, "service_tier": None}
    answer = await api.post(URL, body)
    assert answer.status_code == 200
    assert answer.headers["x-dovetail-ignored"] == "user, ?, tools[0], reasoning_effort"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("modalities", ["text", "audio"]),
        ("guided_json", {"type": "object"}),
        ("n", 100),
    ],
)
async def test_what_would_change_the_answer_is_refused_by_name(api, field, value):
    answer = await api.post(URL, {**ASK, field: value})
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["param"] == field
    assert error["code"] == "unsupported_parameter"
    assert "not available" in error["message"]


async def test_values_that_ask_for_nothing_pass(api):
    body = {
        **ASK,
        "response_format": {"type": "text"},
        "tool_choice": "none",
        "prediction": None,
        "modalities": ["text"],
    }
    answer = await api.post(URL, body)
    assert answer.status_code == 200
    assert "x-dovetail-ignored" not in answer.headers


async def test_contents_and_roles(api):
    messages = [
        {"role": "developer", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "1", "content": "done"},
    ]
    assert (await api.post(URL, {**ASK, "messages": messages})).status_code == 200
    rendered = bytes(api.engine.requests[0].prompt).decode()
    assert rendered == "<system>be brief\n<user>a\nb\n<assistant>\n<tool>done\n"


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ("hi", "messages"),
        ([], "messages"),
        (["hi"], "messages[0]"),
        ([{"role": "robot", "content": "x"}], "messages[0].role"),
        ([{"role": "user"}], "messages[0].content"),
        ([{"role": "user", "content": "a"}, {"role": "user", "content": 5}], "messages[1].content"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}], "messages[0].content[0].type"),
        ([{"role": "user", "content": [{"type": "text", "text": 1}]}], "messages[0].content[0].text"),
        ([{"role": "tool", "content": "x"}], "messages[0].tool_call_id"),
        ([{"role": "assistant", "tool_calls": [{"function": {"name": 1}}]}], "messages[0].tool_calls[0].function.name"),
    ],
)
async def test_a_bad_message_is_named(api, messages, param):
    answer = await api.post(URL, {**ASK, "messages": messages})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


async def test_an_engine_failure_before_and_during_a_stream(make_api, saying):
    failing = make_api(lambda request: [ErrorEvent(request_id="", status=503, code="engine_died", message="gone")])
    answer = await failing.post(URL, ASK)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "engine_died")
    assert answer.headers["retry-after"] == "2"
    middle = make_api(lambda request: [*list(saying("a", "b")(request))[:1], EngineError("it broke")])
    lines = (await middle.post(URL, {**ASK, "stream": True})).text.strip().split("\n\n")
    assert lines[-1] == "data: [DONE]"
    error, last = (json.loads(line.removeprefix("data: ")) for line in lines[-3:-1])
    assert error["error"]["message"] == "it broke"
    assert last["choices"] == [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "error"}]
    assert last["object"] == "chat.completion.chunk"


async def test_only_choices_without_an_end_get_one_when_a_stream_fails(make_api, saying):
    def script(request):
        whole = list(saying("a")(request))
        return whole if request.request_id.endswith("-0") else [whole[0], 0.2, EngineError("it broke")]

    text = (await make_api(script).post(URL, {**ASK, "stream": True, "n": 2})).text
    told = [json.loads(line[6:]) for line in text.split("\n\n") if line.startswith("data: {")]
    ends = [(each["index"], each["finish_reason"]) for line in told for each in line.get("choices", ())]
    assert [end for end in ends if end[1]] == [(0, "stop"), (1, "error")]


async def test_a_defect_is_a_500_without_its_text(make_api):
    broken = make_api(lambda request: [KeyError("secret")])
    answer = await broken.client.post(URL, json=ASK, headers={"x-request-id": "mine"})
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.json()["error"]["type"] == "server_error"
    assert answer.headers["x-request-id"] == "mine"


async def test_a_prediction_reaches_the_engine_and_is_accounted_for(make_api, codec):
    usage = Usage(completion_tokens=5, drafted=9, accepted=4, predicted=7, predicted_accepted=3)
    api = make_api(lambda request: [FinishEvent(request_id="", reason="stop", usage=usage)])
    parts = [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}]
    for content in ("Hello", parts):
        answer = await api.post(URL, {**ASK, "prediction": {"type": "content", "content": content}})
        assert api.engine.requests[-1].prediction == tuple(codec.encode("Hello"))
        details = answer.json()["usage"]["completion_tokens_details"]
        assert details == {
            "reasoning_tokens": 0,
            "accepted_prediction_tokens": 3,
            "rejected_prediction_tokens": 4,
        }


async def test_a_prediction_is_said_to_be_ignored_where_the_engine_has_no_use_for_it(make_api, served):
    api = make_api(served=replace(served, predicts=False))
    answer = await api.post(URL, {**ASK, "prediction": {"type": "content", "content": "Hello"}})
    assert api.engine.requests[-1].prediction == ()
    assert "prediction" in answer.headers["x-dovetail-ignored"]
    wrong = await api.post(URL, {**ASK, "prediction": "Hello"})
    assert wrong.status_code == 400


@pytest.mark.parametrize(
    ("prediction", "param"),
    [
        ("Hello", "prediction"),
        ({"type": "guess"}, "prediction"),
        ({"type": "content", "content": 5}, "prediction.content"),
        ({"type": "content", "content": [{"type": "image_url"}]}, "prediction.content[0].type"),
    ],
)
async def test_a_prediction_that_is_none_is_refused(api, prediction, param):
    answer = await api.post(URL, {**ASK, "prediction": prediction})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param
