"""Edit tools in chat, responses and messages: a model that babbles under its constraint quotes text that was shown."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tool_model import TEMPLATE, tool_model

from dovetail.models.random_checkpoint import write_random_checkpoint
from dovetail.serve.api.served import ServedModel
from dovetail.serve.constrain.vocabulary import Vocabulary
from dovetail.serve.edit.carrier.compile import compile_carrier
from dovetail.serve.engine.fake import Step
from dovetail.serve.types import CarrierSpec, FinishEvent, GrammarSpec, Request, TokensEvent, Usage

FILE = "def add(a, b):\n    return a + b\n\n\ndef sub(a, b):\n    return a - b\n"
SHOWN = "\n".join(f"{number:6}→{line}" for number, line in enumerate(FILE.split("\n"), 1))
PATH = "/r/calc.py"
READ_CALL = {"file_path": PATH}
EDIT = {
    "type": "object",
    "properties": {
        "file_path": {"type": "string", "enum": [PATH, "/r/unknown.py"]},
        "old_string": {"type": "string"},
        "new_string": {"type": "string", "maxLength": 8},
        "replace_all": {"type": "boolean", "default": False},
    },
    "required": ["file_path", "old_string", "new_string"],
    "additionalProperties": False,
}
READ = {"type": "object", "properties": {"file_path": {"type": "string"}}, "required": ["file_path"]}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ServedModel:
    path: Path = tmp_path_factory.mktemp("tiny")
    write_random_checkpoint(
        path, family="qwen2", seed=0, vocab_size=512, hidden=64, layers=1, max_position_embeddings=64
    )
    return tool_model(path, TEMPLATE.replace("{#- <think> #}", ""))


@pytest.fixture(scope="module")
def vocabulary(model: ServedModel) -> Vocabulary:
    codec = model.codec
    return Vocabulary([codec.token_bytes(token) for token in range(codec.size)], codec.encode)


def babbling(vocabulary: Vocabulary, seed: int) -> Callable[[Request], Iterator[Step]]:
    """An engine that draws any allowed token, with a liking for quotes."""

    def script(request: Request) -> Iterator[Step]:
        assert isinstance(request.constraint, CarrierSpec)
        state, tokens, choose = compile_carrier(request.constraint, vocabulary), list[int](), random.Random(seed)
        while not state.may_end() and len(tokens) < 400:
            words = np.full(vocabulary.words, -1, dtype=np.int32)
            state.mask_into(words)
            allowed = np.flatnonzero(np.unpackbits(words.view(np.uint8), bitorder="little")).tolist()
            quotes = [token for token in allowed if (vocabulary.spelling(token) or b"").startswith(b'"')]
            choose.shuffle(allowed)
            first = quotes if choose.random() < 0.4 else []
            token = next(token for token in [*first, *allowed] if state.allows(token))
            state = state.advance(token)
            tokens.append(token)
        text = b"".join(vocabulary.spelling(token) or b"" for token in tokens).decode(errors="ignore")
        yield TokensEvent(request_id="", tokens=tuple(tokens), text=text, origins=("sampled",) * len(tokens))
        yield FinishEvent(request_id="", reason="stop", usage=Usage(completion_tokens=len(tokens)))

    return script


def chat() -> dict[str, Any]:
    call = {"id": "1", "type": "function", "function": {"name": "Read", "arguments": json.dumps(READ_CALL)}}
    return {
        "messages": [
            {"role": "user", "content": "Fix it."},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "1", "content": SHOWN},
        ],
        "tools": [
            {"type": "function", "function": {"name": "Edit", "parameters": EDIT}},
            {"type": "function", "function": {"name": "Read", "parameters": READ}},
        ],
        "tool_choice": {"type": "function", "function": {"name": "Edit"}},
        "parallel_tool_calls": False,
    }


def responses() -> dict[str, Any]:
    return {
        "input": [
            {"role": "user", "content": "Fix it."},
            {"type": "function_call", "name": "Read", "arguments": json.dumps(READ_CALL), "call_id": "1"},
            {"type": "function_call_output", "call_id": "1", "output": SHOWN},
        ],
        "tools": [
            {"type": "function", "name": "Edit", "parameters": EDIT, "strict": False},
            {"type": "function", "name": "Read", "parameters": READ, "strict": False},
        ],
        "tool_choice": {"type": "function", "name": "Edit"},
        "parallel_tool_calls": False,
    }


def messages() -> dict[str, Any]:
    return {
        "max_tokens": 500,
        "messages": [
            {"role": "user", "content": "Fix it."},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "Read", "input": READ_CALL}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": SHOWN}]},
        ],
        "tools": [{"name": "Edit", "input_schema": EDIT}, {"name": "Read", "input_schema": READ}],
        "tool_choice": {"type": "tool", "name": "Edit", "disable_parallel_tool_use": True},
    }


def chat_calls(answer: dict[str, Any]) -> list[Any]:
    calls = answer["choices"][0]["message"].get("tool_calls", [])
    return [parsed(call["function"]["arguments"]) for call in calls]


def responses_calls(answer: dict[str, Any]) -> list[Any]:
    return [parsed(each["arguments"]) for each in answer["output"] if each["type"] == "function_call"]


def messages_calls(answer: dict[str, Any]) -> list[Any]:
    return [each["input"] for each in answer["content"] if each["type"] == "tool_use"]


def parsed(arguments: str) -> Any:
    """None for a call that the budget cut off."""
    try:
        return json.loads(arguments)
    except ValueError:
        return None


ENDPOINTS = {
    "/v1/chat/completions": (chat, chat_calls),
    "/v1/responses": (responses, responses_calls),
    "/v1/messages": (messages, messages_calls),
}


@pytest.mark.parametrize("endpoint", ENDPOINTS)
async def test_a_babbling_model_quotes_what_was_shown(make_api, model, vocabulary, endpoint):
    body, read = ENDPOINTS[endpoint]
    known = 0
    for seed in range(20):
        api = make_api(babbling(vocabulary, seed), served=model)
        answer = await api.post(endpoint, body())
        assert answer.status_code == 200, answer.text
        for call in read(answer.json()):
            if not call or call.get("file_path") != PATH or "old_string" not in call:
                continue
            known += 1
            old = call["old_string"]
            assert old in FILE and old
            assert "\n" not in old or FILE.count(old) == 1
    assert known >= 5


@pytest.mark.parametrize("endpoint", ENDPOINTS)
async def test_a_request_or_the_server_may_leave_calls_free(make_api, model, endpoint, saying):
    body = ENDPOINTS[endpoint][0]()
    call = f'<tool_call>\n{{"name": "Edit", "arguments": {json.dumps({"file_path": PATH, "old_string": "x", "new_string": ""})}}}'
    api = make_api(saying(call), served=model)
    await api.post(endpoint, body)
    await api.post(endpoint, {**body, "dovetail": {"carriers": False}})
    await api.post(endpoint, {**body, "dovetail": {"carriers": True}})
    off = make_api(saying(call), served=model, carriers=False)
    await off.post(endpoint, body)
    kinds = [type(request.constraint) for request in (*api.engine.requests, *off.engine.requests)]
    assert kinds == [CarrierSpec, GrammarSpec, CarrierSpec, GrammarSpec]


async def test_an_unknown_wish_is_refused_by_name(api):
    answer = await api.post("/v1/chat/completions", {**chat(), "dovetail": {"carrier": False}})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "dovetail.carrier"


@pytest.mark.parametrize(
    ("path", "shown", "coverage"),
    [
        (PATH, SHOWN, "covered"),
        (PATH, SHOWN.partition("\n")[0] + "\n\n(File has more lines. Use 'offset' to read on)", "partly"),
        ("/r/unknown.py", SHOWN, "uncovered"),
    ],
)
async def test_calls_are_counted_by_what_is_known(make_api, model, saying, path, shown, coverage):
    arguments = {"file_path": path, "old_string": "def add(a, b):", "new_string": "x"}
    call = f'<tool_call>\n{{"name": "Edit", "arguments": {json.dumps(arguments)}}}\n</tool_call>'
    api = make_api(saying(call), served=model)
    body = chat()
    body["messages"][-1]["content"] = shown
    assert (await api.post("/v1/chat/completions", body)).status_code == 200
    exposition = (await api.client.get("/metrics")).text
    assert f'dovetail_edit_tool_calls_total{{coverage="{coverage}"}} 1.0' in exposition


async def test_a_bound_old_text_is_left_to_its_schema(make_api, model, saying):
    body = chat()
    bound = {**EDIT, "properties": {**EDIT["properties"], "old_string": {"type": "string", "enum": ["a"]}}}
    body["tools"][0]["function"]["parameters"] = bound
    api = make_api(saying("x"), served=model)
    await api.post("/v1/chat/completions", body)
    assert isinstance(api.engine.requests[0].constraint, GrammarSpec)


async def test_every_edit_of_a_list_is_held_and_counted(make_api, model, saying):
    body = chat()
    edit = {"type": "object", "properties": {"old_string": {"type": "string"}, "new_string": {"type": "string"}}}
    parameters = {
        "type": "object",
        "properties": {"file_path": {"type": "string"}, "edits": {"type": "array", "items": edit}},
        "required": ["file_path", "edits"],
    }
    body["tools"][0]["function"] = {"name": "MultiEdit", "parameters": parameters}
    body["tool_choice"] = "required"
    edits = [{"old_string": "def add", "new_string": "def plus"}, {"old_string": "def sub", "new_string": "def minus"}]
    arguments = json.dumps({"file_path": PATH, "edits": edits})
    api = make_api(
        saying(f'<tool_call>\n{{"name": "MultiEdit", "arguments": {arguments}}}\n</tool_call>'), served=model
    )
    await api.post("/v1/chat/completions", body)
    held = api.engine.requests[0].constraint
    assert isinstance(held, CarrierSpec)
    assert (held.tools[0].edits, held.tools[0].old) == ("edits", "old_string")
    assert 'dovetail_edit_tool_calls_total{coverage="covered"} 2.0' in (await api.client.get("/metrics")).text


async def test_blocks_in_plain_text_are_held_where_they_are_asked_for(make_api, model, saying):
    shown = f"*Trust this message as the true contents of these files!*\n\ncalc.py\n```\n{FILE}```\n"
    asked = "Answer so:\n\na.py\n```\n<<<<<<< SEARCH\nold\n=======\nnew\n>>>>>>> REPLACE\n```\n"
    said = "calc.py\n```\n<<<<<<< SEARCH\ndef add(a, b):\n=======\ndef plus(a, b):\n>>>>>>> REPLACE\n```\n"
    api = make_api(saying(said), served=model)
    chat = [{"role": "system", "content": asked}, {"role": "user", "content": shown}]
    answer = await api.post("/v1/chat/completions", {"messages": chat})
    assert answer.json()["choices"][0]["message"]["content"] == said
    await api.post("/v1/chat/completions", {"messages": chat, "dovetail": {"carriers": False}})
    await api.post("/v1/chat/completions", {"messages": chat[1:]})
    held, *free = [request.constraint for request in api.engine.requests]
    assert isinstance(held, CarrierSpec) and free == [None, None]
    assert [(file.path, file.whole) for file in held.files] == [("calc.py", True)]
    assert 'dovetail_edit_tool_calls_total{coverage="covered"} 1.0' in (await api.client.get("/metrics")).text
