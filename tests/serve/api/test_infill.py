"""/infill against a scripted engine: what llama.cpp's clients send is served, in their words."""

from __future__ import annotations

import json

import pytest
from conftest import CODEC
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dovetail.serve.engine.fake import reply
from dovetail.serve.errors import EngineError
from dovetail.serve.types import FinishEvent, TokensEvent, Usage

URL = "/infill"
GAP = {"input_prefix": "def f(", "input_suffix": "):\n"}


@pytest.fixture
def api(make_api, filling):
    return make_api(served=filling)


def events(text: str) -> list[dict]:
    return [json.loads(line.removeprefix("data: ")) for line in text.split("\n\n") if line]


async def test_the_middle(api):
    answer = (await api.post(URL, {**GAP, "prompt": "a, ", "n_predict": 20})).json()
    assert (answer["content"], answer["stop"], answer["stop_type"]) == ("Hello, wörld", True, "eos")
    assert (answer["tokens_predicted"], answer["tokens_evaluated"]) == (13, 15)
    assert answer["truncated"] is False
    assert answer["timings"]["predicted_n"] == 13
    [request] = api.engine.requests
    assert request.prompt == (258, *b"def f(a, ", 259, *b"):\n", 260)
    assert request.sampling.stop_token_ids == (258, 259, 260)
    assert (request.sampling.max_tokens, request.sampling.temperature) == (20, 0)


async def test_a_stream_that_fails_has_an_end(make_api, filling, saying):
    broken = make_api(lambda request: [*list(saying("a")(request))[:1], EngineError("it broke")], served=filling)
    told = events((await broken.post(URL, {**GAP, "stream": True})).text)
    assert told[-2]["error"]["message"] == "it broke"
    assert (told[-1]["stop"], told[-1]["stop_type"], told[-1]["content"]) == (True, "none", "")


async def test_what_an_editor_sends(api):
    body = {
        **GAP,
        "input_extra": [{"filename": "a.py", "text": "x = 1\n", "time": 5}, {"text": "y"}],
        "filename": "c.py",
        "id_slot": 0,
        "n_predict": 5,
        "n_indent": 0,
        "top_k": 40,
        "top_p": 0.9,
        "samplers": ["top_k", "top_p", "infill"],
        "repeat_penalty": 1.1,
        "seed": -1,
        "cache_prompt": True,
        "t_max_prompt_ms": 500,
        "t_max_predict_ms": 1000,
        "stream": False,
    }
    answer = await api.post(URL, body)
    assert answer.status_code == 200
    assert (answer.json()["content"], answer.json()["stop_type"]) == ("Hel", "limit")
    assert answer.headers["x-dovetail-ignored"] == "id_slot, samplers, cache_prompt, t_max_prompt_ms"
    [request] = api.engine.requests
    assert request.prompt[:28] == (261, *b"a.py\nx = 1\n", 261, *b"snippet 2\ny", 261, *b"c.p")
    assert request.sampling.seed is None
    assert (request.sampling.repetition_penalty, request.sampling.top_k) == (1.1, 40)


async def test_streamed(api):
    got = events((await api.post(URL, {**GAP, "stream": True})).text)
    assert "".join(each["content"] for each in got) == "Hello, wörld"
    assert [each["stop"] for each in got] == [False, False, False, True]
    assert got[-1]["tokens_predicted"] == 13


async def test_a_budget_of_nothing_only_warms_the_cache(api):
    answer = (await api.post(URL, {**GAP, "n_predict": 0})).json()
    assert answer["content"] == ""
    assert api.engine.requests[0].sampling.max_tokens == 1


async def test_a_long_context_is_trimmed_and_said_so(make_api, filling):
    api = make_api(served=filling)
    answer = (await api.post(URL, {**GAP, "input_prefix": "x" * 5000, "n_predict": 96})).json()
    assert answer["truncated"] is True
    assert answer["tokens_evaluated"] == 4000
    assert (await api.post(URL, {**GAP, "input_prefix": "x" * 5000})).json()["tokens_evaluated"] == 4096 - 512
    assert (await api.post(URL, {**GAP, "input_prefix": "x" * 5000, "n_predict": 10**6})).json()[
        "tokens_evaluated"
    ] == 2048


async def test_a_line_that_leaves_the_block_ends_it(make_api, filling):
    def endless(request):
        yield from list(reply(request, ["a\n", "  b\n", "c\n", "d"], CODEC.encode))[:-1]
        yield 60.0

    api = make_api(endless, served=filling)
    answer = (await api.post(URL, {**GAP, "n_indent": 2})).json()
    assert (answer["content"], answer["stop_type"]) == ("a\n  b", "limit")
    assert api.engine.running == 0
    got = events((await api.post(URL, {**GAP, "n_indent": 2, "stream": True})).text)
    assert "".join(each["content"] for each in got) == "a\n  b"
    assert len(api.engine.cancelled) == 2


async def test_a_line_end_after_the_time_ends_it(make_api, filling):
    api = make_api(lambda request: reply(request, ["a", "\nb\n"], CODEC.encode, delay=0.01), served=filling)
    assert (await api.post(URL, {**GAP, "t_max_predict_ms": 1})).json()["content"] == "a"


async def test_the_stop_word_is_told(make_api, filling):
    def script(request):
        yield TokensEvent(request_id="", tokens=(97,), text="a", origins=("sampled",))
        yield FinishEvent(request_id="", reason="stop", stop="\n", usage=Usage(completion_tokens=1))

    answer = (await make_api(script, served=filling).post(URL, {**GAP, "stop": ["\n"]})).json()
    assert (answer["stop_type"], answer["stopping_word"]) == ("word", "\n")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input_prefix": None}, "input_prefix"),
        ({"input_extra": [{"filename": "a"}]}, "input_extra[0].text"),
        ({"n_predict": -2}, "n_predict"),
        ({"grammar": "root ::= x"}, "grammar"),
        ({"n_probs": 3}, "n_probs"),
        ({"mirostat": 2}, "mirostat"),
    ],
)
async def test_refused_by_name(api, fields, param):
    answer = await api.post(URL, {**GAP, **fields})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


async def test_a_model_without_the_tokens_says_so(make_api):
    answer = await make_api().post(URL, GAP)
    assert answer.status_code == 400
    assert "no tokens for filling in the middle" in answer.json()["error"]["message"]


async def test_the_models_list_says_who_can(api, make_api):
    assert "infill" in (await api.client.get("/v1/models")).json()["data"][0]["capabilities"]
    assert "infill" not in (await make_api().client.get("/v1/models")).json()["data"][0]["capabilities"]


NAMES = ["input_prefix", "input_suffix", "input_extra", "prompt", "suffix", "n_predict", "n_indent", "t_max_predict_ms"]
NAMES += [
    "stream",
    "seed",
    "best_of",
    "n",
    "echo",
    "logprobs",
    "content",
    "messages",
    "tokens",
    "with_pieces",
    "filename",
]
NAMES += ["parse_special", "add_special", "max_tokens", "stop", "repeat_penalty", "model"]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 300) | st.floats(0, 2) | st.sampled_from(["", "a\n  b", "tiny", "é"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["text", "filename", "role"]), inner),
    max_leaves=5,
)


@given(
    st.sampled_from([URL, "/v1/completions", "/tokenize", "/detokenize", "/v1/embeddings"]),
    st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=6),
    st.booleans(),
)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_no_body_makes_the_server_fail(make_api, filling, path, body, usable):
    usual = {**GAP, "prompt": "a"} if path in (URL, "/v1/completions") else {}
    answer = await make_api(served=filling).post(path, {**usual, **body} if usable else body)
    assert answer.status_code in (200, 400, 404), (body, answer.text)
    if answer.status_code != 200:
        assert answer.json()["error"]["message"]
