"""The tools that these tests offer, and how they ask."""

from __future__ import annotations

import json

URL = "/v1/chat/completions"
READ = {
    "type": "function",
    "function": {
        "name": "read",
        "description": "Read a file.",
        "parameters": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
    },
}
BARE = {"type": "function", "function": {"name": "now"}}
PATCH = {
    "type": "custom",
    "custom": {
        "name": "patch",
        "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": 'start: "+" /[a-z]+/'}},
    },
}
CALL = '<tool_call>\n{"name": "read", "arguments": {"path": "a.py"}}\n</tool_call>'
USER = {"role": "user", "content": "hi"}


def ask(**fields: object) -> dict:
    return {"messages": [USER], "tools": [READ, BARE, PATCH], **fields}


def chunks(text: str) -> list[dict]:
    lines = [line.removeprefix("data: ") for line in text.split("\n\n") if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    return [json.loads(line)["choices"][0] for line in lines[:-1]]
