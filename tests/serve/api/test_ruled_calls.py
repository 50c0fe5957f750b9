"""The server's policy over calls of edit tools: how every protocol says what it found."""

from __future__ import annotations

import json
from typing import Any

import pytest
from test_carriers import EDIT, ENDPOINTS, PATH, chat
from tool_model import TEMPLATE, tool_model

from dovetail.models.random_checkpoint import write_random_checkpoint
from dovetail.serve.edit.policy.combine import Policy
from dovetail.serve.edit.policy.document import parse_policy
from dovetail.serve.types import CarrierSpec, GrammarSpec

RULES: dict[str, Any] = {
    "paths": {"protect": ["**/secret.py"]},
    "calls": [{"id": "no-eval", "forbid": ["eval"]}],
    "api": {"freeze": ["**/calc.py"]},
    "limits": {"changed_lines": 3},
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("tiny")
    write_random_checkpoint(
        path, family="qwen2", seed=0, vocab_size=512, hidden=64, layers=1, max_position_embeddings=64
    )
    return tool_model(path, TEMPLATE.replace("{#- <think> #}", ""))


@pytest.fixture
def policy() -> Policy:
    return Policy([parse_policy(RULES)])


def call(path: str, old: str, new: str, name: str = "Edit") -> str:
    arguments = {"file_path": path, "old_string": old, "new_string": new}
    return f'<tool_call>\n{{"name": "{name}", "arguments": {json.dumps(arguments)}}}\n</tool_call>'


CASES = [
    (call(PATH, "return a + b", "return eval(a)"), ["no-eval"]),
    (call(PATH, "def add(a, b):", "def add(a):"), ["api/freeze"]),
    (call("/r/secret.py", "x", "y"), ["paths/closed"]),
    (call(PATH, "    return a + b", "    a = 1\n    b = 2\n    return a + b"), []),
    (call(PATH, "    return a + b", "    a = 1\n" * 4 + "    return a + b"), ["limits/changed_lines"]),
]


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize(("said", "found"), CASES)
async def test_an_answer_says_what_is_found_in_its_calls(make_api, model, saying, policy, endpoint, said, found):
    api = make_api(saying(said), served=model, policy=policy)
    answer = (await api.post(endpoint, ENDPOINTS[endpoint][0]())).json()
    told = answer["choices"][0]["dovetail"] if "choices" in answer else answer["dovetail"]
    assert [each["id"] for each in told["policy"]["findings"]] == found
    assert told["policy"]["digest"] == policy.digest


@pytest.mark.parametrize("endpoint", ENDPOINTS)
async def test_a_stream_says_it_at_its_end(make_api, model, saying, policy, endpoint):
    api = make_api(saying(CASES[2][0]), served=model, policy=policy)
    answer = await api.post(endpoint, {**ENDPOINTS[endpoint][0](), "stream": True})
    data = [line.removeprefix("data: ") for line in answer.text.split("\n") if line.startswith("data: {")]
    told = [
        part["dovetail"]
        for event in map(json.loads, data)
        for part in (event, event.get("response") or {}, *(event.get("choices") or ()))
        if "dovetail" in part
    ]
    assert [[each["id"] for each in one["policy"]["findings"]] for one in told] == [["paths/closed"]]


async def test_nothing_is_said_without_a_policy_or_an_edit(make_api, model, saying, policy):
    api = make_api(saying(CASES[2][0]), served=model)
    assert "dovetail" not in (await api.post("/v1/chat/completions", chat())).json()["choices"][0]
    api = make_api(saying("Hello."), served=model, policy=policy)
    assert "dovetail" not in (await api.post("/v1/chat/completions", chat())).json()["choices"][0]


async def test_no_wish_of_a_request_takes_the_policy_away(make_api, model, saying, policy):
    api = make_api(saying("x"), served=model, policy=policy)
    await api.post("/v1/chat/completions", {**chat(), "dovetail": {"carriers": False}})
    held = api.engine.requests[0].constraint
    assert isinstance(held, CarrierSpec)
    assert held.policy == policy.texts and not held.files


async def test_tools_that_write_whole_files_are_held_under_a_policy_alone(make_api, model, saying, policy):
    body = chat()
    parameters = {**EDIT, "properties": {"file_path": {"type": "string"}, "content": {"type": "string"}}}
    parameters["required"] = ["file_path", "content"]
    body["tools"] = [{"type": "function", "function": {"name": "Write", "parameters": parameters}}]
    body["tool_choice"] = "required"
    arguments = json.dumps({"file_path": "/r/new.py", "content": "eval(x)\n"})
    said = f'<tool_call>\n{{"name": "Write", "arguments": {arguments}}}\n</tool_call>'
    ruled, free = (make_api(saying(said), served=model, **more) for more in ({"policy": policy}, {}))
    told = (await ruled.post("/v1/chat/completions", body)).json()["choices"][0]["dovetail"]
    assert [each["id"] for each in told["policy"]["findings"]] == ["no-eval"]
    await free.post("/v1/chat/completions", body)
    assert isinstance(ruled.engine.requests[0].constraint, CarrierSpec)
    assert isinstance(free.engine.requests[0].constraint, GrammarSpec)
