"""Random and damaged bodies at the endpoints of Responses and Messages: served or refused by name, never a failure."""

from __future__ import annotations

import copy
from typing import Any

import httpx
import pytest
from conftest import says
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from marked_dialect import marked_model

from dovetail.serve.api.app import create_app
from dovetail.serve.api.responses.items import ITEM_TYPES
from dovetail.serve.api.settings import ApiSettings
from dovetail.serve.engine.fake import FakeEngine

PART = {"type": "input_text", "text": "a"}
READ = {"type": "function", "name": "read", "description": "r", "parameters": {"type": "object", "properties": {}}}
RESPONSE = {
    "input": [
        {"type": "message", "id": "msg_1", "role": "developer", "content": [PART]},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "s"}], "encrypted_content": "dv1.x"},
        {"role": "assistant", "content": [{"type": "output_text", "text": "b"}]},
        {"type": "function_call", "call_id": "1", "name": "read", "arguments": "{}", "namespace": "n"},
        {"type": "function_call_output", "call_id": "1", "output": [PART, {"type": "input_image"}]},
        {"type": "custom_tool_call", "call_id": "2", "name": "p", "input": "x"},
        {"type": "local_shell_call", "id": "l", "action": {"command": ["ls"]}},
        {"type": "additional_tools", "role": "developer", "tools": [READ]},
        {"type": "compaction", "encrypted_content": "x"},
    ],
    "instructions": "i",
    "tools": [READ, {"type": "namespace", "name": "n", "tools": [READ]}, {"type": "web_search"}],
    "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "read"}]},
    "reasoning": {"effort": "low", "summary": "auto"},
    "text": {"format": {"type": "text"}, "verbosity": "low"},
    "include": ["reasoning.encrypted_content"],
    "metadata": {"a": "b"},
    "truncation": "auto",
    "max_output_tokens": 20,
    "stream": False,
    "store": True,
    "conversation": None,
    "previous_response_id": None,
}
BLOCK = {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}
MESSAGE = {
    "system": [{"type": "text", "text": "x-anthropic-billing-header: a;"}, BLOCK],
    "messages": [
        {"role": "user", "content": [BLOCK, {"type": "document", "source": {"type": "text", "data": "d"}}]},
        {"role": "system", "content": "s"},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "t", "signature": "x"},
                {"type": "tool_use", "id": "1", "name": "Read", "input": {"a": 1}},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "1",
                    "is_error": True,
                    "content": [BLOCK, {"type": "tool_reference", "tool_name": "Web"}],
                }
            ],
        },
    ],
    "tools": [
        {"name": "Read", "input_schema": {"type": "object", "properties": {"a": {"default": 1}}, "required": []}},
        {"name": "Web", "defer_loading": True},
        {"type": "web_search_20250305", "name": "web_search"},
    ],
    "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
    "thinking": {"type": "adaptive", "display": "omitted"},
    "output_config": {"effort": "high"},
    "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    "stop_sequences": ["END"],
    "metadata": {"user_id": "u"},
    "max_tokens": 20,
    "stream": False,
}
WORDS = [
    "",
    "text",
    "x",
    "auto",
    "required",
    "function",
    "user",
    "assistant",
    "tool",
    "tool_result",
    "json_schema",
    *ITEM_TYPES,
]
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(WORDS),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "name", "id", "content", *WORDS]), inner, max_size=3)
    ),
    max_leaves=6,
)


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(place for key, each in inner for place in places(each, (*at, key)))]


def damaged(body: dict[str, Any], at: tuple[Any, ...], value: Any) -> Any:
    if not at:
        return value
    body = copy.deepcopy(body)
    inside: Any = body
    for key in at[:-1]:
        inside = inside[key]
    inside[at[-1]] = value
    return body


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, Any]:
    path, body = draw(
        st.sampled_from(
            [
                ("/v1/responses", RESPONSE),
                ("/v1/responses/input_tokens", RESPONSE),
                ("/v1/responses/compact", RESPONSE),
                ("/v1/conversations", {"items": RESPONSE["input"], "metadata": {"a": "b"}}),
                ("/v1/messages", MESSAGE),
                ("/v1/messages/count_tokens", MESSAGE),
            ]
        )
    )
    for _ in range(draw(st.integers(0, 2))):
        if isinstance(body, dict):
            body = damaged(body, draw(st.sampled_from(places(body))), draw(ANYTHING))
    return path, body


@pytest.mark.parametrize("stream", [False, True])
async def test_the_undamaged_bodies_are_served(stream):
    async with connected() as client:
        for path, body in (("/v1/responses", RESPONSE), ("/v1/messages", MESSAGE)):
            answer = await client.post(path, json={**body, "stream": stream})
            assert answer.status_code == 200, answer.text


@given(requests())
@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
async def test_no_body_makes_the_server_fail(asked):
    path, body = asked
    async with connected() as client:
        answer = await client.post(path, json=body)
    assert answer.status_code in (200, 400, 404), (body, answer.text)
    if answer.status_code != 200:
        error = answer.json()["error"]
        assert error["message"]
        assert error["type"] in ("invalid_request_error", "not_found_error")


def connected() -> httpx.AsyncClient:
    app = create_app(FakeEngine(says("Hel", "lo")), marked_model(100_000), ApiSettings())
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://test")
