"""The bad input table: every row is a clear 4xx that names the field, and the server still serves afterwards."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

CHAT, PLAIN, EDITS = "/v1/chat/completions", "/v1/completions", "/v1/edits"
MESSAGES = [{"role": "user", "content": "hi"}]
FILE = {"path": "a.py", "content": "x = 1\n"}


def chat(**fields: Any) -> tuple[str, dict[str, Any]]:
    return CHAT, {"messages": MESSAGES, **fields}


def plain(**fields: Any) -> tuple[str, dict[str, Any]]:
    return PLAIN, {"prompt": "x", **fields}


def edits(**fields: Any) -> tuple[str, dict[str, Any]]:
    return EDITS, {"instruction": "rename x", "files": [FILE], **fields}


def path(value: Any) -> tuple[str, dict[str, Any]]:
    return edits(files=[{**FILE, "path": value}])


TABLE = [
    # wrong types
    (chat(temperature="hot"), 400, "temperature"),
    (chat(temperature=True), 400, "temperature"),
    (chat(max_tokens="5"), 400, "max_tokens"),
    (chat(max_tokens=1.5), 400, "max_tokens"),
    (chat(stream="yes"), 400, "stream"),
    (chat(stop=5), 400, "stop"),
    (chat(stop=["a", 1]), 400, "stop[1]"),
    (chat(stop=["a"] * 17), 400, "stop"),
    (chat(stop=""), 400, "stop[0]"),
    (chat(logit_bias={"x": 1}), 400, "logit_bias.x"),
    (chat(logit_bias={"9999": 1}), 400, "logit_bias.9999"),
    (chat(logit_bias={"5": "a"}), 400, "logit_bias.5"),
    (chat(tools="all"), 400, "tools"),
    (chat(stream_options={"include_usage": 1}), 400, "stream_options.include_usage"),
    (chat(model=5), 400, "model"),
    (edits(files={"a.py": "x"}), 400, "files"),
    (edits(files=["a.py"]), 400, "files[0]"),
    (edits(files=[{"path": "a.py"}]), 400, "files[0].content"),
    (edits(files=[FILE, {"path": "b.py", "content": 5}]), 400, "files[1].content"),
    (edits(instruction=None), 400, "instruction"),
    ((CHAT, {}), 400, "messages"),
    ((PLAIN, {"model": "tiny"}), 400, "prompt"),
    # out of range
    (chat(max_tokens=-1), 400, "max_tokens"),
    (chat(max_completion_tokens=-5), 400, "max_completion_tokens"),
    (plain(max_tokens=0), 400, "max_tokens"),
    (edits(max_tokens=-1), 400, "max_tokens"),
    (chat(temperature=-0.1), 400, "temperature"),
    (chat(top_p=0), 400, "top_p"),
    (chat(n=0), 400, "n"),
    (chat(top_logprobs=21, logprobs=True), 400, "top_logprobs"),
    (chat(top_logprobs=2), 400, "top_logprobs"),
    (chat(min_tokens=5, max_tokens=4), 400, "min_tokens"),
    (chat(seed=2**70), 400, "seed"),
    # unknown model
    (chat(model="gpt-4"), 404, "model"),
    (plain(model="gpt-4"), 404, "model"),
    (edits(model="gpt-4"), 404, "model"),
    # files
    (edits(files=[]), 400, "files"),
    (edits(files=[FILE, FILE]), 400, "files[1].path"),
    (edits(files=[{"path": "a.bin", "content": "a\0b"}]), 400, "files[0].content"),
    (edits(instruction="  \n"), 400, "instruction"),
    *((path(bad), 400, "files[0].path") for bad in ("", " a", "/etc/passwd", "../a", "a/../b", "./a", "a//b", "a\\b")),
    *(
        (path(bad), 400, "files[0].path")
        for bad in ("a\nb", "a\x00b", "a\x7f", "C:/a", "a/", "<<<<<<< SEARCH", "x" * 2000)
    ),
    (path(["a"]), 400, "files[0].path"),
    # unknown fields, of our own endpoint
    (edits(colour="red"), 400, "colour"),
    (edits(files=[{**FILE, "mode": 1}]), 400, "files[0].mode"),
    (edits(stop=["x"]), 400, "stop"),
    # prompt longer than the context
    (chat(messages=[{"role": "user", "content": "x" * 5000}]), 400, "messages"),
    (plain(prompt="x" * 5000), 400, "prompt"),
    (plain(prompt=["x", "x" * 5000]), 400, "prompt[1]"),
    (edits(files=[{**FILE, "content": "x" * 5000}]), 400, "files"),
]


@pytest.mark.parametrize(("request_", "status", "param"), TABLE)
async def test_each_row_names_the_field(api, request_, status, param):
    url, body = request_
    for stream in (False, True):
        answer = await api.post(url, body if "stream" in body else {**body, "stream": stream})
        error = answer.json()["error"]
        assert (answer.status_code, error["param"]) == (status, param), error
        assert set(error) == {"message", "type", "param", "code"}
        assert error["type"] == "invalid_request_error"
        assert error["message"]
        assert error["code"]
    assert api.engine.requests == []
    assert (await api.post(*chat())).status_code == 200, "the server still serves"


async def test_a_prompt_that_is_too_long_says_both_counts(api):
    error = (await api.post(*plain(prompt=[1] * 5000))).json()["error"]
    assert error["code"] == "context_length_exceeded"
    assert "4096" in error["message"]
    assert "5000" in error["message"]


async def test_an_unknown_model_says_which_there_is(api, make_api):
    error = (await api.post(*chat(model="gpt-4"))).json()["error"]
    assert error["code"] == "model_not_found"
    assert "'tiny'" in error["message"]
    lenient = make_api(any_model_name=True)
    answer = await lenient.post(*chat(model="gpt-4"))
    assert (answer.status_code, answer.json()["model"]) == (200, "tiny")


async def test_a_model_may_have_other_names(make_api):
    api = make_api(model_aliases=("gpt-5", "claude-*"))
    for name, status in (("gpt-5", 200), ("claude-opus-5-5", 200), ("gpt-4", 404), ("Claude-x", 404), ("tiny", 200)):
        assert (await api.post(*chat(model=name))).status_code == status
        assert (await api.client.get(f"/v1/models/{name}")).status_code == status


@pytest.mark.parametrize("url", [CHAT, PLAIN, EDITS])
@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"prompt": "\xff\xfe"}', "invalid_utf8"),
        (b"", "invalid_json"),
        (b"{", "invalid_json"),
        (b"[1]", "invalid_json"),
        (b'{"temperature": NaN}', "invalid_json"),
        (b'{"temperature": 1e999}', "invalid_json"),
        (b'{"a": ' + b"9" * 5000 + b"}", "invalid_json"),
        (b"[" * 200_000, "invalid_json"),
        (b'{"a": ["\\ud800"]}', "invalid_unicode"),
        (b'{"\\udfff": 1}', "invalid_unicode"),
    ],
)
async def test_a_body_that_is_no_json_object(api, url, body, code):
    answer = await api.client.post(url, content=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)
    assert (await api.post(*chat())).status_code == 200


async def test_half_a_surrogate_pair_names_its_place(api):
    body = json.dumps({"instruction": "x", "files": [{"path": "a.py", "content": "\ud83d"}]})
    answer = await api.client.post(EDITS, content=body)
    assert answer.json()["error"]["param"] == "files[0].content"
    whole = json.dumps({"messages": [{"role": "user", "content": "\U0001f600"}]})
    assert (await api.client.post(CHAT, content=whole)).status_code == 200


async def test_a_file_of_10_mb_is_a_413(make_live):
    live = await make_live()
    body = json.dumps({"instruction": "x", "files": [{"path": "a.py", "content": "x" * 10_000_000}]}).encode()

    async def in_pieces():
        for start in range(0, len(body), 1 << 16):
            yield body[start : start + (1 << 16)]

    for content in (body, in_pieces()):
        answer = await live.client.post(EDITS, content=content)
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (413, "body_too_large")
        assert str(8 * 1024 * 1024) in error["message"]
    assert (await live.client.post(CHAT, json=chat()[1])).status_code == 200


async def test_compressed_bodies_are_refused(api):
    answer = await api.client.post(CHAT, content=b"x", headers={"content-encoding": "gzip"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "unsupported_encoding")


async def test_unknown_routes_and_methods(api):
    missing = await api.client.get("/v1/nothing")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "unknown_route")
    wrong = await api.client.get(EDITS)
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (405, "method_not_allowed")
    assert "POST" in wrong.headers["allow"]
    for hidden in ("/docs", "/openapi.json", "/redoc"):
        assert (await api.client.get(hidden)).status_code == 404


async def test_while_loading(make_api):
    loading = make_api(ready=False)
    for url, body in (chat(), plain(), edits()):
        answer = await loading.post(url, body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "model_loading")
        assert answer.headers["retry-after"] == "2"


async def test_a_body_of_very_many_small_things_is_refused(api):
    messages = [{"role": "user", "content": "a"}] * 60_000
    answer = await api.post("/v1/chat/completions", {"messages": messages})
    assert answer.status_code == 400
    assert "50000 objects and lists" in answer.json()["error"]["message"]
    ids = await api.post("/v1/completions", {"prompt": [65] * 60_000, "max_tokens": 1})
    assert ids.json()["error"]["code"] == "context_length_exceeded"


NUMBERS = [2**64, -(2**63) - 1, 10**30, 10**400, -(10**400), 1.7e308, -1e-320]
MESSAGE = [{"role": "user", "content": "a"}]
NUMERIC: dict[str, tuple[dict[str, object], str]] = {
    "/v1/chat/completions": ({"messages": MESSAGE}, "max_completion_tokens top_logprobs"),
    "/v1/completions": ({"prompt": "a"}, "logprobs best_of"),
    "/v1/responses": ({"input": "a"}, "max_output_tokens top_logprobs max_tool_calls"),
    "/v1/messages": ({"messages": MESSAGE, "max_tokens": 5}, "thinking"),
    "/v1/edits": ({"instruction": "a", "files": [{"path": "a.py", "content": ""}]}, ""),
    "/infill": ({"input_prefix": "a", "input_suffix": ""}, "n_predict n_indent t_max_predict_ms repeat_penalty"),
}
EVERYWHERE = """temperature top_p top_k min_p seed presence_penalty frequency_penalty repetition_penalty max_tokens min_tokens n
priority timeout stop_token_ids logit_bias"""


@pytest.mark.parametrize("url", NUMERIC)
async def test_numbers_of_any_size_are_served_or_refused(make_api, filling, saying, url):
    body, more = NUMERIC[url]
    api = make_api(saying(), served=filling)
    for name in (*EVERYWHERE.split(), *more.split()):
        for number in NUMBERS:
            kinds: dict[str, list[object]] = {
                "stop_token_ids": [[number]],
                "logit_bias": [{str(number): 1}, {"1": number}, {"9" * 5000: 1}],
                "thinking": [{"type": "enabled", "budget_tokens": number}],
            }
            for value in kinds.get(name, [number]):
                answer = await api.post(url, {**body, name: value})
                assert answer.status_code in (200, 400, 422), (name, value, answer.text)
    for request in api.engine.requests:  # as they go to an engine process
        msgspec.msgpack.encode(request)
