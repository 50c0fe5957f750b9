"""Requests in the shape in which real clients send them (measured; texts shortened): taken as they are, and told in full."""

from __future__ import annotations

from typing import Any

import pytest
from marked_dialect import marked_model

RESPONSES, MESSAGES = "/v1/responses", "/v1/messages?beta=true"


def text(role: str, said: str) -> dict[str, Any]:
    kind = "output_text" if role == "assistant" else "input_text"
    return {"type": "message", "id": "msg_0", "role": role, "content": [{"type": kind, "text": said}]}


EXEC = {"type": "function", "name": "exec_command", "strict": False, "parameters": {"type": "object", "properties": {}}}
SPAWN = {"type": "function", "name": "spawn_agent", "strict": False, "parameters": {"type": "object", "properties": {}}}
AGENTS = {"type": "namespace", "name": "multi_agent_v1", "description": "agents", "tools": [SPAWN]}
PATCH = {
    "type": "custom",
    "name": "apply_patch",
    "description": "patch",
    "format": {"type": "grammar", "syntax": "lark", "definition": "start: /x/"},
}
CODEX = {
    "model": "tiny",
    "stream": False,
    "store": False,
    "input": [text("developer", "base"), text("user", "<environment_context>"), text("user", "rename")],
    "tools": [EXEC, AGENTS, PATCH, {"type": "web_search", "external_web_access": True}],
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "reasoning": {"summary": "auto"},
    "include": ["reasoning.encrypted_content"],
    "prompt_cache_key": "thread",
    "client_metadata": {"session_id": "s", "x-codex-window-id": "w"},
}
CODEX_TURN = [
    *CODEX["input"],
    {"type": "reasoning", "id": "rs_0", "summary": [], "content": None, "encrypted_content": None},
    {"type": "function_call", "id": "fc_0", "name": "spawn_agent", "namespace": "multi_agent_v1", "arguments": "{}",
     "call_id": "c1", "status": "completed"},
    {"type": "function_call_output", "id": "o1", "call_id": "c1", "output": "ok"},
    {"type": "custom_tool_call", "id": "ctc_0", "name": "apply_patch", "input": "x", "call_id": "c2", "status": "completed"},
    {"type": "custom_tool_call_output", "id": "o2", "call_id": "c2", "output": [{"type": "input_text", "text": "done"}]},
]  # fmt: skip
CODE_MODE = {
    **{key: value for key, value in CODEX.items() if key not in ("tools", "parallel_tool_calls")},
    "reasoning": {"effort": "low", "context": "all_turns"},
    "text": {"verbosity": "low"},
    "parallel_tool_calls": False,
    "input": [
        {"type": "additional_tools", "id": "at", "role": "developer", "tools": [{**AGENTS, "name": "functions"}]},
        text("user", "rename"),
    ],
}
OPENCODE = {
    "model": "tiny",
    "input": [
        {"role": "developer", "content": "base"},
        {"role": "user", "content": [{"type": "input_text", "text": "x"}]},
    ],
    "max_output_tokens": 32000,
    "store": False,
    "include": ["reasoning.encrypted_content"],
    "prompt_cache_key": "ses_1",
    "tools": [{**EXEC, "parameters": {"$schema": "http://json-schema.org/draft-07/schema#", "type": "object"}}],
    "tool_choice": "auto",
    "reasoning": {"effort": "low", "summary": "auto"},
}
AGENTS_SDK = {
    "model": "tiny",
    "include": [],
    "instructions": "base",
    "input": [
        {"role": "user", "content": "x"},
        {"id": "rs_1", "summary": [], "type": "reasoning"},
        {
            "arguments": "{}",
            "call_id": "c",
            "name": "exec_command",
            "type": "function_call",
            "id": "fc",
            "status": "completed",
        },
        {"call_id": "c", "output": "r", "type": "function_call_output"},
    ],
    "tools": [EXEC],
    "tool_choice": "required",
    "text": {
        "format": {"type": "json_schema", "name": "n", "strict": True, "schema": {"type": "object", "properties": {}}}
    },
    "reasoning": {"effort": "low"},
    "max_output_tokens": 100,
}
PRELOAD = {"model": "tiny", "input": "", "max_output_tokens": 1}
CLAUDE_TOOL = {"name": "Edit", "description": "edit", "input_schema": {"type": "object", "properties": {}}}
CLAUDE = {
    "model": "tiny",
    "max_tokens": 128000,
    "system": [
        {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.330.aa2; cc_entrypoint=sdk-cli;"},
        {"type": "text", "text": "You are an agent.", "cache_control": {"type": "ephemeral"}},
    ],
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "rename", "cache_control": {"type": "ephemeral"}}]},
        {"role": "system", "content": "environment", "output_config": {"effort": "high"}},
    ],
    "tools": [
        CLAUDE_TOOL,
        {"name": "DeferredToolPlaceholder", "defer_loading": True, "input_schema": {"type": "object"}},
    ],
    "metadata": {"user_id": "{}"},
    "thinking": {"type": "adaptive", "display": "updates"},
    "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    "output_config": {"effort": "high"},
    "safeguards": [{"type": "dangerous_tool_use"}],
    "stream": False,
}
TITLE = {
    "model": "tiny",
    "max_tokens": 32000,
    "messages": [{"role": "user", "content": "title"}],
    "output_config": {
        "format": {
            "type": "json_schema",
            "schema": {"type": "object", "properties": {"title": {"type": "string"}}, "additionalProperties": False},
        }
    },
}
SEARCH = {
    "model": "tiny",
    "max_tokens": 32000,
    "messages": [{"role": "user", "content": "find"}],
    "tools": [{"type": "web_search_20250305", "name": "web_search", "max_uses": 8}],
}
RECORDED = [
    (
        RESPONSES,
        CODEX,
        ["base", "<environment_context>", "rename", "multi_agent_v1__spawn_agent", "[custom apply_patch"],
    ),
    (RESPONSES, {**CODEX, "input": CODEX_TURN}, ['multi_agent_v1__spawn_agent"', "done"]),
    (RESPONSES, {**CODEX, "input": [*CODEX_TURN, text("user", "CHECKPOINT")], "tools": []}, ["CHECKPOINT"]),
    (RESPONSES, CODE_MODE, ["functions__spawn_agent"]),
    (RESPONSES, OPENCODE, ["base"]),
    (RESPONSES, {**OPENCODE, "tools": None, "tool_choice": None}, ["base"]),
    (RESPONSES, {**AGENTS_SDK, "tool_choice": "auto"}, ["base", "exec_command"]),
    (RESPONSES, PRELOAD, []),
    (MESSAGES, CLAUDE, ["You are an agent.", "rename", "environment", "[function Edit"]),
    (MESSAGES, TITLE, ["title"]),
    (MESSAGES, SEARCH, ["find"]),
]


@pytest.mark.parametrize(("url", "body", "told"), RECORDED)
async def test_it_is_taken_as_it_is(make_api, url, body, told):
    api = make_api(served=marked_model())
    for stream in (False, True):
        answer = await api.post(url, {**body, "stream": stream})
        assert answer.status_code == 200, answer.text
        prompt = bytes(api.engine.requests[-1].prompt).decode()
        assert [each for each in told if each not in prompt] == []
    assert "billing" not in prompt
    assert "Placeholder" not in prompt


@pytest.mark.parametrize(("url", "body"), [(RESPONSES, CODEX), (MESSAGES, CLAUDE)])
async def test_a_full_server_says_when_to_try_again(make_api, url, body):
    answer = await make_api(served=marked_model(), max_in_flight=0).post(url, {**body, "stream": True})
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "2")
