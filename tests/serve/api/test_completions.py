"""Plain completions against a scripted engine, in process."""

from __future__ import annotations

import json

import openai
import pytest

from dovetail.serve.errors import EngineError
from dovetail.serve.types import FinishEvent, TokenLogprob, TokensEvent, Usage

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
    ("fields", "param"),
    [
        ({"suffix": "x"}, "suffix"),
        ({"best_of": 3, "stream": True}, "best_of"),
        ({"prompt": ["a"] * 65}, "n"),
        ({"prompt": ["a"] * 2, "best_of": 33}, "n"),
    ],
)
async def test_refused_by_name(api, fields, param):
    answer = await api.post(URL, {"prompt": "x", **fields})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    assert answer.json()["error"]["code"] == "unsupported_parameter"


async def test_best_of_n_is_n(api):
    answer = await api.post(URL, {"prompt": "x", "n": 2, "best_of": 2, "suffix": None, "user": "me"})
    assert len(answer.json()["choices"]) == 2
    assert answer.headers["x-dovetail-ignored"] == "user"


async def test_best_of_gives_the_likeliest(make_api, codec):
    odds = iter([-3.0, -1.0, -2.0, -0.5, -4.0, -0.25])

    def script(request):
        logprob = next(odds)
        text = f"{logprob}"
        ids = tuple(codec.encode(text))
        entries = (
            tuple(TokenLogprob(token, logprob) for token in ids) if request.sampling.logprobs is not None else None
        )
        yield TokensEvent(request_id="", tokens=ids, text=text, origins=("sampled",) * len(ids), logprobs=entries)
        yield FinishEvent(request_id="", reason="stop", usage=Usage(completion_tokens=len(ids)))

    api = make_api(script)
    answer = (await api.post(URL, {"prompt": ["a", "b"], "n": 2, "best_of": 3, "echo": True})).json()
    assert [choice["text"] for choice in answer["choices"]] == ["a-1.0", "a-2.0", "b-0.25", "b-0.5"]
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2, 3]
    assert answer["choices"][0]["logprobs"] is None
    assert answer["usage"]["completion_tokens"] == 5 * 4 + 5
    assert answer["usage"]["prompt_tokens"] == 4


async def test_best_of_below_n_is_refused(api):
    answer = await api.post(URL, {"prompt": "x", "n": 3, "best_of": 2})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "best_of")


async def test_a_suffix_asks_for_the_middle(make_api, filling):
    api = make_api(served=filling)
    answer = await api.post(URL, {"prompt": ["a", "b"], "suffix": "c", "echo": True, "stop_token_ids": [7]})
    assert [choice["text"] for choice in answer.json()["choices"]] == ["aHello, wörld", "bHello, wörld"]
    assert [request.prompt for request in api.engine.requests] == [
        (258, *b"a", 259, *b"c", 260),
        (258, *b"b", 259, *b"c", 260),
    ]
    assert api.engine.requests[0].sampling.stop_token_ids == (7, 258, 259, 260)
    assert (await api.post(URL, {"prompt": [97, 98], "suffix": "c"})).status_code == 200
    assert api.engine.requests[-1].prompt == (258, *b"ab", 259, *b"c", 260)
    assert (await api.post(URL, {"prompt": "", "suffix": "c"})).status_code == 200
    assert (await api.post(URL, {"prompt": "ab", "suffix": ""})).status_code == 200
    assert api.engine.requests[-1].prompt == (256, *b"ab"), "an empty suffix is none"
    too_long = await api.post(URL, {"prompt": "a", "suffix": "c" * 5000})
    assert too_long.json()["error"]["code"] == "context_length_exceeded"


async def test_a_stream_that_fails_has_an_end(make_api, saying):
    api = make_api(lambda request: [*list(saying("a")(request))[:1], EngineError("it broke")])
    lines = (await api.post(URL, {"prompt": "x", "stream": True})).text.strip().split("\n\n")
    error, last = (json.loads(line.removeprefix("data: ")) for line in lines[-3:-1])
    assert error["error"]["message"] == "it broke" and lines[-1] == "data: [DONE]"
    assert last["choices"] == [{"index": 0, "text": "", "logprobs": None, "finish_reason": "error"}]


async def test_openais_client_raises_what_fails_in_mid_stream(make_live, saying):
    live = await make_live(lambda request: [*list(saying("a")(request))[:1], EngineError("it broke")])
    async with openai.AsyncOpenAI(base_url=f"{live.url}/v1", api_key="none", max_retries=0) as client:
        with pytest.raises(openai.APIError, match="it broke"):
            async for _ in await client.completions.create(model="tiny", prompt="x", stream=True):
                pass
        chat = client.chat.completions
        with pytest.raises(openai.APIError, match="it broke"):
            async for _ in await chat.create(model="tiny", messages=[{"role": "user", "content": "x"}], stream=True):
                pass
        with pytest.raises(openai.APIError, match="it broke"):
            async with chat.stream(model="tiny", messages=[{"role": "user", "content": "x"}]) as stream:
                await stream.get_final_completion()
