"""Random JSON at the chat endpoint: every request is served or refused with a 4xx, whole and streamed; never a 500."""

from __future__ import annotations

import asyncio
import copy
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tool_model import pieces, tool_model

from dovetail.models.random_checkpoint import write_random_checkpoint
from dovetail.serve.api.app import create_app
from dovetail.serve.engine.fake import FakeEngine, reply

URL = "/v1/chat/completions"
SAID = [
    "Hello",
    'So:\n<tool_call>\n{"name": "f", "arguments": {"a": "b"}}\n</tool_call>',
    '<think>x</think><tool_call>{"name": "c", "arguments": {"input": 1}}</tool_call> <tool_call>{"name": ',
]
CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
BODY: dict[str, Any] = {
    "model": "tiny",
    "messages": [
        {"role": "system", "content": "s"},
        {"role": "user", "content": [{"type": "text", "text": "hi"}], "name": "n"},
        {"role": "assistant", "content": None, "tool_calls": [CALL], "reasoning_content": "r"},
        {"role": "tool", "tool_call_id": "1", "content": "x"},
        {"role": "assistant", "tool_calls": [{"id": "2", "type": "custom", "custom": {"name": "c", "input": "i"}}]},
        {"role": "assistant", "content": "", "function_call": {"name": "f", "arguments": ""}},
        {"role": "function", "name": "f", "content": "y"},
    ],
    "tools": [
        {
            "type": "function",
            "function": {
                "name": "f",
                "description": "d",
                "strict": False,
                "parameters": {
                    "type": "object",
                    "properties": {"a": {"type": "string", "enum": ["b"]}, "n": {"$ref": "#/$defs/n"}},
                    "$defs": {"n": {"type": "integer"}},
                    "required": ["a"],
                },
            },
        },
        {
            "type": "custom",
            "custom": {
                "name": "c",
                "format": {"type": "grammar", "grammar": {"syntax": "regex", "definition": "[a-z]+"}},
            },
        },
    ],
    "tool_choice": {
        "type": "allowed_tools",
        "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "f"}}]},
    },
    "parallel_tool_calls": True,
    "functions": [],
    "function_call": None,
    "max_completion_tokens": 50,
    "max_tokens": None,
    "n": 1,
    "stream": False,
    "stream_options": {"include_usage": True},
    "logprobs": True,
    "top_logprobs": 1,
    "stop": ["zzz"],
    "logit_bias": {"1": 1},
    "metadata": {"k": "v"},
    "store": True,
    "response_format": {"type": "text"},
    "reasoning_effort": "low",
    "prediction": {"type": "content", "content": "x"},
    "temperature": 1,
    "seed": 1,
}
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
    st.sampled_from(
        [
            "auto",
            "required",
            "none",
            "function",
            "custom",
            "tool",
            "assistant",
            "text",
            "lark",
            "json_object",
            "f",
            "$ref",
            "#/$defs/n",
            "start: /a/",
            "(",
            "object",
            "array",
            "<|im_start|>",
            "\x00",
            "\ufdd0",
        ]
    ),
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.one_of(st.text(max_size=4), st.sampled_from([*sorted(BODY), "type", "role"])), inner, max_size=3
        ),
    ),
    max_leaves=6,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in items for place in places(item, (*path, key)))]


@st.composite
def bodies(draw: st.DrawFn) -> Any:
    body = copy.deepcopy(BODY)
    for _ in range(draw(st.integers(1, 4))):
        *way, last = draw(st.sampled_from(places(body)[1:]))
        parent = body
        for key in way:
            parent = parent[key]
        what = draw(st.sampled_from(["replace", "remove", "add", "repeat"]))
        if what == "replace":
            parent[last] = draw(JSON)
        elif what == "remove":
            del parent[last]
        elif what == "add" and isinstance(parent, dict):
            parent[draw(st.text(max_size=4))] = draw(JSON)
        elif isinstance(parent, list):
            parent.append(copy.deepcopy(parent[last]))
    return body


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory):
    path: Path = tmp_path_factory.mktemp("tiny")
    write_random_checkpoint(
        path, family="qwen2", seed=0, vocab_size=512, hidden=64, layers=1, max_position_embeddings=64
    )
    return tool_model(path)


def post(model: Any, body: Any, said: str) -> httpx.Response:
    async def run() -> httpx.Response:
        engine = FakeEngine(lambda request: reply(request, pieces(said), model.codec.encode))
        transport = httpx.ASGITransport(app=create_app(engine, model), raise_app_exceptions=True)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            if isinstance(body, bytes):
                return await client.post(URL, content=body)
            return await client.post(URL, json=body)

    return asyncio.run(run())


@settings(deadline=None, max_examples=150)
@given(body=st.one_of(bodies(), bodies(), JSON), said=st.sampled_from(SAID), stream=st.booleans())
def test_no_request_breaks_the_endpoint(model, body, said, stream):
    if isinstance(body, dict) and stream:
        body["stream"] = True
    answer = post(model, body, said)
    assert answer.status_code == 200 or 400 <= answer.status_code < 500, (body, answer.text)
    if answer.status_code != 200:
        assert answer.json()["error"]["message"]
    elif answer.headers["content-type"].startswith("text/event-stream"):
        assert answer.text.endswith("data: [DONE]\n\n")
        last = [
            line
            for line in answer.text.split("\n\n")
            if '"finish_reason":' in line and '"finish_reason":null' not in line
        ]
        assert last, "every stream says why it ended"
        assert '"error"' not in answer.text
    else:
        assert json.loads(answer.text)["choices"][0]["finish_reason"]


def test_the_body_that_is_changed_is_served(model):
    assert post(model, BODY, SAID[1]).status_code == 200


DEEP = "here something deep"
TOOL = {"type": "function", "function": {"name": "f", "parameters": DEEP}}
FORMAT = {"type": "json_schema", "json_schema": {"name": "x", "schema": DEEP}}


@pytest.mark.parametrize("depth", [10, 50, 120, 450, 900, 980, 3000])
@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [TOOL]},
        {"response_format": FORMAT},
        *(
            {key: DEEP}
            for key in ("metadata", "prediction", "stop", "logit_bias", "tool_choice", "messages", "unknown")
        ),
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_deep_nesting_is_served_or_refused(model, fields, depth):
    body = json.dumps({"messages": [{"role": "user", "content": "x"}], "store": True, **fields})
    deep = '{"type": "object", "properties": {"a":' * (depth // 2) + "{}" + "}}" * (depth // 2)
    answer = post(model, body.replace(json.dumps(DEEP), deep).encode(), "hi")
    assert answer.status_code in (200, 400), answer.text
    assert depth < 130 or answer.status_code == 400


@pytest.mark.parametrize("depth", [50, 120, 450, 900, 980, 3000])
@pytest.mark.parametrize("form", ['{"a":', "["])
def test_arguments_nested_deeply_are_shown_as_they_are(model, depth, form):
    text = form * depth + "1" + {"[": "]"}.get(form, "}") * depth
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": text}}
    messages = [{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": [call]}]
    assert post(model, {"messages": messages, "store": True}, "hi").status_code == 200
