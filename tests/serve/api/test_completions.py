"""Plain completions against a scripted engine, in process."""

from __future__ import annotations

import json

import pytest

URL = "/v1/completions"


async def test_text(api):
    answer = await api.post(URL, {"model": "tiny", "prompt": "def "})
    [choice] = answer.json()["choices"]
    assert choice == {"index": 0, "text": "Hello, wörld", "logprobs": None, "finish_reason": "stop"}
    assert answer.json()["object"] == "text_completion"
    [request] = api.engine.requests
    assert request.prompt == (256, *b"def ")
    assert request.sampling.max_tokens == 16


async def test_all_forms_of_a_prompt(api):
    for prompt, count in [("a", 1), (["a", "b"], 2), ([1, 2], 1), ([[1], [2, 3]], 2)]:
        answer = await api.post(URL, {"prompt": prompt, "n": 2})
        assert [choice["index"] for choice in answer.json()["choices"]] == list(range(2 * count))
    assert [request.prompt for request in api.engine.requests[-4:]] == [(1,), (1,), (2, 3), (2, 3)]
    assert answer.json()["usage"]["prompt_tokens"] == 3


@pytest.mark.parametrize(
    ("prompt", "param"),
    [
        (None, "prompt"),
        ([], "prompt"),
        ({"a": 1}, "prompt"),
        ([1, "a"], "prompt[1]"),
        (["a", 1], "prompt[1]"),
        ([1, 258], "prompt[1]"),
        ([[1], [-1]], "prompt[1][0]"),
        ([[1], []], "prompt[1]"),
        ([True], "prompt[0]"),
    ],
)
async def test_a_bad_prompt_is_named(api, prompt, param):
    answer = await api.post(URL, {"prompt": prompt})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


async def test_echo(api):
    answer = await api.post(URL, {"prompt": "x = ", "echo": True})
    assert answer.json()["choices"][0]["text"] == "x = Hello, wörld"
    refused = await api.post(URL, {"prompt": "x = ", "echo": True, "logprobs": 1})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "echo")
    streamed = await api.post(URL, {"prompt": [120, 61], "echo": True, "stream": True})
    first = json.loads(streamed.text.split("\n\n")[0].removeprefix("data: "))
    assert first["choices"][0]["text"] == "x="


async def test_logprobs(api):
    [choice] = (await api.post(URL, {"prompt": "x", "logprobs": 2})).json()["choices"]
    logprobs = choice["logprobs"]
    assert logprobs["tokens"][:4] == ["H", "e", "l", "l"]
    assert logprobs["tokens"][8:10] == ["bytes:\\xc3", "bytes:\\xb6"]
    assert logprobs["text_offset"] == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 10, 11]
    assert logprobs["top_logprobs"][0] == {"H": -0.5, "I": -1.5}
    assert logprobs["token_logprobs"] == [-0.5] * 13


async def test_streamed_offsets_go_on(api):
    text = (await api.post(URL, {"prompt": "x", "logprobs": 0, "stream": True})).text
    events = [json.loads(line.removeprefix("data: ")) for line in text.split("\n\n")[:-2]]
    offsets = [
        offset for each in events for offset in (each["choices"][0]["logprobs"] or {"text_offset": []})["text_offset"]
    ]
    assert offsets == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 10, 11]


@pytest.mark.parametrize(
    ("fields", "param"), [({"suffix": "x"}, "suffix"), ({"best_of": 3}, "best_of"), ({"prompt": ["a"] * 65}, "n")]
)
async def test_refused_by_name(api, fields, param):
    answer = await api.post(URL, {"prompt": "x", **fields})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    assert answer.json()["error"]["code"] == "unsupported_parameter"


async def test_best_of_n_is_n(api):
    answer = await api.post(URL, {"prompt": "x", "n": 2, "best_of": 2, "suffix": None, "user": "me"})
    assert len(answer.json()["choices"]) == 2
    assert answer.headers["x-dovetail-ignored"] == "user"
