"""Histories of calls as clients send them back: served, and shown whole."""

from __future__ import annotations

import pytest
from offered_tools import READ, URL, USER, ask
from tool_model import tool_model

HISTORIES = {
    "malformed arguments": [
        USER,
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "1", "type": "function", "function": {"name": "read", "arguments": '{"path": '}}],
        },
        {"role": "tool", "tool_call_id": "1", "content": "failed"},
    ],
    "no arguments": [USER, {"role": "assistant", "tool_calls": [{"function": {"name": "now"}}]}],
    "arguments as an object": [
        USER,
        {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "read", "arguments": {"path": "a"}}}]},
    ],
    "nested too deeply": [
        USER,
        {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "read", "arguments": "[" * 5000}}]},
    ],
    "a result without a call": [
        USER,
        {"role": "tool", "tool_call_id": "9", "content": [{"type": "text", "text": "x"}]},
    ],
    "an empty result": [USER, {"role": "tool", "tool_call_id": "9", "content": None}],
    "roles in a row": [USER, USER, {"role": "assistant", "content": ""}, {"role": "assistant", "content": "b"}],
    "system in the middle": [USER, {"role": "system", "content": "s"}, {"role": "developer", "content": "d"}, USER],
    "reasoning sent back": [USER, {"role": "assistant", "content": "a", "reasoning_content": "r"}, USER],
    "reasoning null": [USER, {"role": "assistant", "content": "a", "reasoning_content": None, "reasoning": {"a": 1}}],
    "a custom call": [
        USER,
        {
            "role": "assistant",
            "tool_calls": [{"id": "1", "type": "custom", "custom": {"name": "patch", "input": "+a"}}],
        },
    ],
    "the older form": [
        USER,
        {"role": "assistant", "content": None, "function_call": {"name": "now", "arguments": "{}"}},
        {"role": "function", "name": "now", "content": "12"},
    ],
    "unknown fields": [{**USER, "id": "x", "cache_control": {"type": "ephemeral"}}],
    "only the assistant": [{"role": "assistant", "content": "a"}],
    "a refusal": [USER, {"role": "assistant", "content": None, "refusal": "no"}],
}


@pytest.mark.parametrize("tools", [[], [READ]], ids=["no tools", "tools"])
@pytest.mark.parametrize("history", HISTORIES)
async def test_histories_as_clients_send_them(speaking, history, tools):
    answer = await speaking().post(URL, {"messages": HISTORIES[history], "tools": tools})
    assert answer.status_code == 200, answer.text


async def test_a_history_is_shown_whole(speaking, model):
    api = speaking()
    call = {"id": "1", "type": "function", "function": {"name": "read", "arguments": '{"path":"a"}'}}
    messages = [USER, {"role": "assistant", "content": None, "reasoning_content": "Hm", "tool_calls": [call]}]
    messages += [{"role": "tool", "tool_call_id": "1", "content": "text"}]
    assert (await api.post(URL, {"messages": messages, "tools": [READ]})).status_code == 200
    shown = model.codec.decode(api.engine.requests[0].prompt)
    for part in ('"name": "read"', "Hm", '"arguments": {"path": "a"}', "<|tool|>text"):
        assert part in shown


async def test_an_overflow_tells_both_numbers(make_api, directory):
    api = make_api(served=tool_model(directory, max_model_len=40))
    answer = await api.post(URL, ask())
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "context_length_exceeded")
    assert "40" in answer.json()["error"]["message"]
