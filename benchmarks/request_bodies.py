"""Bodies for every endpoint that takes one, and how they are damaged. Sends nothing."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

from request_values import DEAR, EDIT, FILE, NASTY, POLICY, SCHEMA, TOOL

SAMPLING = {"max_tokens": 20, "temperature": 0.5, "top_p": 0.9, "seed": 1, "stop": ["x"], "logit_bias": {"65": 1}}
SECURITY = {"rules": ["default"], "mode": "report", "sarif": True}
PART = {"type": "input_text", "text": "a"}
READ = {"type": "function", "name": "read", "description": "r", "parameters": SCHEMA}
PATCH = {
    "type": "custom",
    "name": "apply_patch",
    "format": {"type": "grammar", "syntax": "lark", "definition": 'start: "*** Begin Patch\\n" /[a-z]+/'},
}
BLOCK = {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}
ITEMS: list[Any] = [
    {"type": "message", "id": "msg_1", "role": "developer", "content": [PART]},
    {"type": "reasoning", "summary": [{"type": "summary_text", "text": "s"}], "encrypted_content": "dv1.x"},
    {"role": "assistant", "content": [{"type": "output_text", "text": "b"}]},
    {"type": "function_call", "call_id": "1", "name": "read", "arguments": "{}", "namespace": "n"},
    {"type": "function_call_output", "call_id": "1", "output": [PART, {"type": "input_image"}]},
    {"type": "custom_tool_call", "call_id": "2", "name": "p", "input": "x"},
    {"type": "custom_tool_call_output", "call_id": "2", "output": "y"},
    {"type": "local_shell_call", "id": "l", "action": {"command": ["ls"]}},
    {"type": "additional_tools", "role": "developer", "tools": [READ]},
    {"type": "item_reference", "id": "msg_1"},
    {"type": "compaction", "encrypted_content": "x"},
]
CHAT_TOOLS: list[Any] = [
    TOOL,
    {"type": "custom", "custom": {"name": "p", "format": {"type": "text"}}},
    {
        "type": "function",
        "function": {
            "name": "Edit",
            "parameters": {
                "type": "object",
                "properties": {"file_path": {"type": "string"}, "old_string": {"type": "string"}, "new_string": {}},
            },
        },
    },
]

BODIES: dict[str, dict[str, Any]] = {  # by endpoint; what is behind a "#" tells two of one endpoint apart
    "/v1/chat/completions": {
        "messages": [
            {"role": "system", "content": "s"},
            {"role": "user", "content": [{"type": "text", "text": "hi"}]},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
            },
            {"role": "tool", "tool_call_id": "1", "content": "r"},
        ],
        "tools": CHAT_TOOLS,
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "reasoning_effort": "low",
        "dovetail": {"carriers": True, "security": SECURITY},
        "response_format": None,
        "n": 1,
        "stream": False,
        "logprobs": True,
        "top_logprobs": 2,
        "metadata": {"a": "b"},
        "prediction": {"type": "content", "content": "abc"},
        **SAMPLING,
    },
    "/v1/chat/completions#edits": {
        "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "Rename"}],
        "edits": {
            "files": [FILE],
            "format": "blocks",
            "syntax": "each",
            "protected": [{"path": "calc.py", "first_line": 2, "last_line": 2}],
            "operations": ["create"],
            "policy": POLICY,
            "trace": True,
        },
        "dovetail": {"security": SECURITY},
        "n": 2,
        "stream": False,
        "max_tokens": 50,
    },
    "/v1/completions": {
        "prompt": ["a", "b"],
        "echo": False,
        "suffix": None,
        "best_of": 1,
        "regex": None,
        "choice": None,
        "security": {**SECURITY, "language": "python", "mode": "block"},
        **SAMPLING,
    },
    "/v1/responses": {
        "input": ITEMS,
        "instructions": "i",
        "tools": [READ, PATCH, {"type": "namespace", "name": "n", "tools": [READ]}, {"type": "web_search"}],
        "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "read"}]},
        "reasoning": {"effort": "low", "summary": "auto"},
        "text": {"format": {"type": "text"}, "verbosity": "low"},
        "include": ["reasoning.encrypted_content"],
        "truncation": "auto",
        "max_output_tokens": 20,
        "background": False,
        "conversation": None,
        "previous_response_id": None,
        "store": True,
        "metadata": {"a": "b"},
    },
    "/v1/messages": {
        "model": "tiny",
        "max_tokens": 20,
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
            {"name": "Read", "input_schema": SCHEMA},
            {"name": "Web", "defer_loading": True},
            {"type": "web_search_20250305", "name": "web_search"},
        ],
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
        "thinking": {"type": "adaptive", "display": "omitted"},
        "output_config": {"effort": "high"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "stop_sequences": ["x"],
        "metadata": {"user_id": "u"},
    },
    "/v1/edits": {
        "instruction": "Rename",
        "files": [FILE],
        "format": "blocks",
        "syntax": "each",
        "protected": [{"path": "calc.py", "first_line": 2, "last_line": 2}],
        "operations": [],
        "policy": POLICY,
        "security": SECURITY,
        "max_tokens": 50,
    },
    "/v1/edits/apply": {
        "text": EDIT,
        "files": [FILE],
        "format": "blocks",
        "syntax": "each",
        "policy": POLICY,
        "render": "apply_patch",
    },
    "/infill": {
        "input_prefix": "a",
        "input_suffix": "b",
        "input_extra": [{"filename": "f", "text": "t"}],
        "prompt": "",
        **SAMPLING,
    },
    "/tokenize": {"prompt": "abc"},
    "/detokenize": {"tokens": [1, 2, 3]},
    "/v1/messages/count_tokens": {"model": "tiny", "messages": [{"role": "user", "content": "a"}], "tools": []},
    "/v1/responses/input_tokens": {"input": ITEMS, "tools": [READ]},
    "/v1/responses/compact": {"input": ITEMS[:3], "instructions": "i"},
    "/v1/conversations": {"items": ITEMS, "metadata": {}},
    "/v1/moderations": {"input": ["a", {"type": "text", "text": "b"}], "model": "m"},
    "/v1/security/scan": {
        "files": [{**FILE, "base": "x = 1\n"}],
        "rules": ["default"],
        "without": [],
        "format": "sarif",
        "bandit": False,
    },
    "/v1/batches": {
        "input_file_id": "file-1",
        "endpoint": "/v1/chat/completions",
        "completion_window": "24h",
        "metadata": {"a": "b"},
        "output_expires_after": {"anchor": "created_at", "seconds": 3600},
    },
    "/v1/load_lora_adapter": {"lora_name": "a", "lora_path": "a", "load_inplace": True, "model": None},
    "/v1/unload_lora_adapter": {"lora_name": "a", "lora_int_id": 1},
    "/v1/embeddings": {"input": ["a"], "encoding_format": "float", "dimensions": 3},
}

STREAMED = ("/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages", "/v1/edits", "/infill")


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place within a body."""
    if at:
        yield at
    if isinstance(value, dict | list) and len(at) < 12 and len(value) < 50:
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(each, (*at, key))


def damaged(chance: random.Random, endpoint: str) -> dict[str, Any]:
    """The endpoint's body, damaged in up to three places."""
    body = copy.deepcopy(BODIES[endpoint])
    if chance.random() < 0.3 and endpoint.partition("#")[0] in STREAMED:
        body["stream"] = True
    for _ in range(chance.choice([0, 1, 1, 1, 2, 3])):
        if chance.random() < 0.1:
            wanted = [field for field in DEAR if field in body or chance.random() < 0.1]
            if wanted:
                field = chance.choice(wanted)
                body[field] = copy.deepcopy(DEAR[field](chance))  # what is put into it later stays out of the next ones
                continue
        damage(chance, body)
    return body


def damage(chance: random.Random, body: dict[str, Any]) -> None:
    """Put something else in a random place, or take out what is there."""
    there = list(places(body))
    if not there:
        return
    at = chance.choice(there)
    holder: Any = body
    for key in at[:-1]:
        holder = holder[key]
    kind = chance.random()
    if kind < 0.1:
        del holder[at[-1]]
    elif kind < 0.15 and isinstance(holder, dict):
        holder[chance.choice(["type", "role", "stream", "n", "id", "x" * 5000, ""])] = chance.choice(NASTY)(chance)
    else:
        holder[at[-1]] = chance.choice(NASTY)(chance)


def written(chance: random.Random, body: Any) -> bytes:
    """A body as JSON, now and then as something that only resembles it."""
    content = json.dumps(body, ensure_ascii=chance.random() < 0.5).encode("utf-8", "surrogatepass")
    kind = chance.random()
    if kind < 0.02:
        return content[: chance.randrange(len(content))]
    if kind < 0.03:
        return b"[" * chance.choice([10, 10**5]) + content
    if kind < 0.05:
        place = chance.randrange(len(content))
        return content[:place] + chance.choice([b"\xff", b"\xc3", b"\xed\xa0\x80", b"\x00"]) + content[place:]
    if kind < 0.06:
        number = chance.choice([b"NaN", b"-Infinity", b"1e999", b"9" * 5000, b"1e-999", b"0x10", b'"\\ud800"'])
        return content.replace(b'"a"', number, 1)
    return content
