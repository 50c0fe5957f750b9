"""Findings in calls of edit tools: what they write is scanned against what they replace."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tool_model import pieces, tool_model

from dovetail.models.random_checkpoint import write_random_checkpoint
from dovetail.serve.api.served import ServedModel
from dovetail.serve.edit.policy.combine import Policy
from dovetail.serve.edit.policy.document import parse_policy

CHAT = "/v1/chat/completions"
EDIT = {
    "type": "object",
    "properties": {name: {"type": "string"} for name in ("file_path", "old_string", "new_string")},
    "required": ["file_path", "old_string", "new_string"],
}
ASK = {
    "messages": [{"role": "user", "content": "change it"}],
    "tools": [{"type": "function", "function": {"name": "Edit", "parameters": EDIT}}],
    "dovetail": {"carriers": False},
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ServedModel:
    path: Path = tmp_path_factory.mktemp("tiny")
    write_random_checkpoint(
        path, family="qwen2", seed=0, vocab_size=512, hidden=64, layers=1, max_position_embeddings=64
    )
    return tool_model(path)


def calling(old: str, new: str) -> str:
    call = {"name": "Edit", "arguments": {"file_path": "/r/a.py", "old_string": old, "new_string": new}}
    return f"I change it.\n<tool_call>\n{json.dumps(call)}\n</tool_call>"


async def choice_of(make_api: Any, saying: Any, model: ServedModel, text: str, mode: str) -> dict[str, Any]:
    policy = Policy([parse_policy({"findings": {"rules": ["default"], "mode": mode}})])
    api = make_api(saying(*pieces(text)), served=model, policy=policy)
    answer = (await api.post(CHAT, ASK)).json()
    return answer["choices"][0]


async def test_a_call_that_brings_something_new(make_api, saying, model):
    text = calling("x = 1\n", "import os\nos.system(y)\n")
    told = await choice_of(make_api, saying, model, text, "report")
    assert told["finish_reason"] == "tool_calls"
    (found,) = told["security"]["findings"]
    assert (found["id"], found["path"], found["line"]) == ("python/os-system", "/r/a.py", 2)
    ended = await choice_of(make_api, saying, model, text, "block")
    assert ended["finish_reason"] == "content_filter" and "tool_calls" not in ended["message"]
    assert ended["message"]["content"].startswith("I change it.")


async def test_a_call_that_keeps_what_was_there(make_api, saying, model):
    text = calling("os.system(y)\n", "import os\nos.system( y )\n")
    told = await choice_of(make_api, saying, model, text, "block")
    assert told["finish_reason"] == "tool_calls" and told["security"]["findings"] == []
    assert json.loads(told["message"]["tool_calls"][0]["function"]["arguments"])["file_path"] == "/r/a.py"
