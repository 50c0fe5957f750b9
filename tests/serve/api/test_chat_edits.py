"""Chats whose answer is an edit, against scripted outputs: the prompt, the answer, the stream, and what is refused."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json

import httpx
import pytest
from edit_scripts import CALC, writes
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from marked_dialect import marked_model
from test_edit_formats import OUTPUTS, PLUS
from test_random_bodies import ANYTHING, damaged, places

from dovetail.serve.api.app import create_app
from dovetail.serve.api.settings import ApiSettings
from dovetail.serve.engine.fake import FakeEngine
from dovetail.serve.govern.declines.conduct import Conduct
from dovetail.serve.govern.declines.document import read_acceptable_use
from dovetail.serve.types import EditSpec

URL = "/v1/chat/completions"
BLOCK = "calc.py\n<<<<<<< SEARCH\ndef add(a, b):\n=======\ndef plus(a, b):\n>>>>>>> REPLACE\n"
SECOND = "calc.py\n<<<<<<< SEARCH\n    return add(a, a)\n=======\n    return plus(a, a)\n>>>>>>> REPLACE\n"
FORMATS = {"blocks": BLOCK + SECOND, **OUTPUTS}
USER = {"role": "user", "content": "rename add to plus"}
FILES = [{"path": "calc.py", "content": CALC}]
ASK = {"messages": [USER], "edits": {"files": FILES}, "max_tokens": 999}


@pytest.fixture
def chatting(served):
    """A model without an edit template of its own."""
    return dataclasses.replace(served, max_model_len=16_384, render_edit=None)


def chunks_of(text):
    events = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    assert events[-1] == "[DONE]"
    return [json.loads(event) for event in events[:-1]]


@pytest.mark.parametrize("name", FORMATS)
async def test_the_content_is_the_edit(make_api, chatting, name):
    api = make_api(writes(FORMATS[name]), served=chatting)
    answer = (await api.post(URL, {**ASK, "edits": {"files": FILES, "format": name}})).json()
    edited = (await api.post("/v1/edits", {"instruction": USER["content"], "files": FILES, "format": name})).json()
    [choice] = answer["choices"]
    assert choice["message"]["content"] == edited["text"]
    assert choice["finish_reason"] == "stop"
    shared = ("format", "edits", "operations", "files", "patch", "constraint")
    assert choice["dovetail"] == {"edits": {key: edited[key] for key in shared}}
    assert choice["dovetail"]["edits"]["files"] == [{"path": "calc.py", "content": PLUS}]
    chat, edits = api.engine.requests
    assert chat.prompt == edits.prompt
    assert isinstance(chat.constraint, EditSpec)
    assert chat.constraint == edits.constraint
    assert chat.sampling.temperature == 0


async def test_a_models_own_edit_template_is_used_for_a_single_message(make_api, served):
    api = make_api(writes(BLOCK), served=served)
    await api.post(URL, ASK)
    [request] = api.engine.requests
    assert bytes(request.prompt) == f"calc.py\n{CALC}\nrename add to plus".encode()


async def test_in_a_conversation_the_last_user_message_brings_the_files(make_api, chatting):
    api = make_api(writes(BLOCK), served=chatting)
    first = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}]
    await api.post(URL, {**ASK, "messages": [*first, {"role": "assistant", "content": "ho"}, USER]})
    await api.post(URL, {**ASK, "messages": [*first[1:], {"role": "assistant", "content": "ho"}, USER]})
    prompts = [bytes(request.prompt).decode() for request in api.engine.requests]
    assert prompts[0].startswith("<system>Be brief.\n\nYou edit files.")
    assert prompts[1].startswith("<system>You edit files.")
    for prompt in prompts:
        assert "<user>hi\n<assistant>ho\n<user>calc.py\n```\ndef add" in prompt
        assert prompt.endswith("```\n\nrename add to plus\n")


PARTS = {"blocks": ["calc.py\n<"], "str_replace": ['{"file'], "apply_patch": ["@@ def", "*** End"]}
"""What begins behind an edit that stands, by format: the stream comes in pieces that end there."""


@pytest.mark.parametrize("name", FORMATS)
async def test_the_stream_tells_what_stands(make_api, chatting, name):
    output = FORMATS[name]
    cuts = [at for part in PARTS.get(name, ()) if (at := output.rindex(part))]
    stands = cuts[0] if cuts else 10
    # More than what stands is written, taken back, and written again.
    api = make_api(writes(output[: stands + 9], stands, output[stands:]), served=chatting)
    edits = {"files": FILES, "format": name}
    whole = (await api.post(URL, {**ASK, "edits": edits})).json()["choices"][0]
    chunks = chunks_of((await api.post(URL, {**ASK, "edits": edits, "stream": True})).text)
    deltas = [text for chunk in chunks if (text := chunk["choices"][0]["delta"].get("content"))]
    content = whole["message"]["content"]
    assert deltas == [content[begin:end] for begin, end in itertools.pairwise([0, *cuts, len(content)])]
    last = chunks[-1]["choices"][0]
    assert (last["finish_reason"], last["dovetail"]) == ("stop", whole["dovetail"])


@pytest.mark.parametrize(
    "wish",
    [
        {"edits": {"files": FILES, "syntax": "final"}},
        {"dovetail": {"security": {"mode": "block"}}},
        {"edits": {"files": [{"path": "calc.py", "content": CALC.replace("\n", "\r\n")}]}},
    ],
    ids=["final", "blocking", "carriage returns"],
)
async def test_what_may_change_is_told_at_the_end(make_api, chatting, wish):
    api = make_api(writes(BLOCK, SECOND, len(BLOCK)), served=chatting)
    chunks = chunks_of((await api.post(URL, {**ASK, **wish, "stream": True})).text)
    deltas = [text for chunk in chunks if (text := chunk["choices"][0]["delta"].get("content"))]
    assert [delta.replace("\r\n", "\n") for delta in deltas] == [BLOCK]


async def test_an_edit_that_stood_and_is_taken_back_is_a_failure(make_api, chatting):
    api = make_api(writes(BLOCK, 0, SECOND), served=chatting)
    chunks = chunks_of((await api.post(URL, {**ASK, "stream": True})).text)
    assert chunks[-2]["error"]["code"] == "internal_error"
    assert chunks[-1]["choices"][0]["finish_reason"] == "error"


async def test_an_output_that_does_not_fit_is_never_answered(make_api, chatting):
    api = make_api(writes(BLOCK.replace("def add", "def sub")), served=chatting)
    answer = await api.post(URL, ASK)
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "guarantee_violated")


async def test_several_answers(make_api, chatting):
    def script(request):
        return writes(BLOCK if request.request_id.endswith("-0") else SECOND)(request)

    answer = (await make_api(script, served=chatting).post(URL, {**ASK, "n": 2, "temperature": 1})).json()
    assert [choice["message"]["content"] for choice in answer["choices"]] == [BLOCK, SECOND]
    after = [choice["dovetail"]["edits"]["files"][0]["content"] for choice in answer["choices"]]
    assert after == [CALC.replace("def add", "def plus"), CALC.replace("add(a, a)", "plus(a, a)")]


async def test_rules_trace_and_budget(make_api, chatting):
    api = make_api(writes(BLOCK, SECOND[:30], len(BLOCK), reason="length"), served=chatting)
    rules = {
        "files": FILES,
        "protected": [{"path": "calc.py", "first_line": 2, "last_line": 2}],
        "operations": ["create"],
        "policy": {"limits": {"files": 1}},
        "trace": True,
    }
    ask = {"messages": [USER], "max_completion_tokens": 77, "edits": rules, "logit_bias": {"65": -1}}
    [choice] = (await api.post(URL, ask)).json()["choices"]
    assert choice["finish_reason"] == "length"
    told = choice["dovetail"]["edits"]
    assert "".join(token["text"] for token in told["tokens"]) == BLOCK
    assert told["policy"]["findings"] == []
    [request] = api.engine.requests
    assert request.constraint.protected == (("calc.py", 2, 2),)
    assert (request.sampling.max_tokens, request.sampling.logit_bias) == (77, {65: -1})


async def test_findings_stand_beside_the_edits_and_may_withhold_them(make_api, chatting):
    block = "calc.py\n<<<<<<< SEARCH\n    return a + b\n=======\n    return eval(a)\n>>>>>>> REPLACE\n"
    api = make_api(writes(block), served=chatting)
    for mode in ("report", "block"):
        answer = await api.post(URL, {**ASK, "dovetail": {"security": {"mode": mode}}})
        [choice] = answer.json()["choices"]
        assert choice["security"]["findings"]
        withheld = mode == "block"
        assert choice["security"]["blocked"] is withheld
        assert choice["finish_reason"] == ("content_filter" if withheld else "stop")
        assert choice["message"]["content"] == ("" if withheld else block)
        assert len(choice["dovetail"]["edits"]["edits"]) == (0 if withheld else 1)


TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


async def test_tools_that_may_not_be_called_do_no_harm(make_api, chatting):
    api = make_api(writes(BLOCK), served=chatting)
    odd = {"tools": [TOOL], "tool_choice": "none", "response_format": {"type": "text"}, "stop": None}
    hints = {"reasoning_effort": "high", "prediction": {"type": "content", "content": PLUS}}
    answer = await api.post(URL, {**ASK, **odd, **hints})
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-dovetail-ignored"] == "prediction, reasoning_effort"
    assert b"function" not in bytes(api.engine.requests[0].prompt)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [TOOL]}, "tools"),
        ({"functions": [TOOL["function"]]}, "functions"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {}}}}, "response_format"),
        ({"regex": "a"}, "regex"),
        ({"grammar": "start: /a/"}, "grammar"),
        ({"choice": ["a"]}, "choice"),
        ({"logprobs": True}, "logprobs"),
        ({"stop": "x"}, "stop"),
        ({"stop_token_ids": [1]}, "stop_token_ids"),
        ({"min_tokens": 1}, "min_tokens"),
        ({"ignore_eos": True}, "ignore_eos"),
        ({"messages": [{"role": "system", "content": "s"}]}, "messages"),
        ({"messages": [{"role": "user", "content": " "}]}, "messages[0].content"),
        ({"edits": {}}, "edits.files"),
        ({"edits": {"files": FILES, "instruction": "x"}}, "edits.instruction"),
        ({"edits": {"files": [{"path": "/etc/x", "content": ""}]}}, "edits.files[0].path"),
        ({"edits": {"files": FILES * 2}}, "edits.files[1].path"),
        ({"edits": {"files": FILES, "format": "udiff"}}, "edits.format"),
        ({"edits": {"files": FILES, "operations": ["delete"]}}, "edits.operations"),
        ({"edits": {"files": FILES, "policy": {"odd": 1}}}, "edits.policy.odd"),
        (
            {"edits": {"files": FILES, "protected": [{"path": "x", "first_line": 1, "last_line": 1}]}},
            "edits.protected[0].path",
        ),
        ({"dovetail": {"security": {"rules": ["nonsense"]}}}, "security.rules[0]"),
        ({"edits": {"files": [{"path": "big.txt", "content": "x" * 20_000}]}}, "messages"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_what_is_refused(make_api, chatting, fields, param):
    api = make_api(writes(BLOCK), served=chatting)
    for stream in (False, True):
        answer = await api.post(URL, {**ASK, **fields, "stream": stream})
        assert answer.status_code == 400, answer.text
        assert answer.json()["error"]["param"] == param, answer.text
    assert not api.engine.requests


async def test_its_tokens_are_counted_with_the_files(make_api, chatting):
    api = make_api(writes(BLOCK), served=chatting)
    counted = await api.post("/tokenize", {"messages": [USER], "edits": {"files": FILES}})
    await api.post(URL, ASK)
    assert tuple(counted.json()["tokens"]) == api.engine.requests[0].prompt
    wrong = await api.post("/tokenize", {"messages": [USER], "edits": {"files": [{"path": "/x", "content": ""}]}})
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "edits.files[0].path")


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/responses", "/v1/messages"])
async def test_other_endpoints_refuse_it_by_name(api, path):
    text = {"prompt": "a", "input": "a", "messages": [USER], "max_tokens": 9}
    wanted = {"/v1/completions": ("prompt",), "/v1/responses": ("input",), "/v1/messages": ("messages", "max_tokens")}
    body = {name: text[name] for name in wanted[path]}
    answer = await api.post(path, {**body, "edits": {"files": FILES}})
    assert answer.status_code == 400
    assert "edits is not available" in answer.text


async def test_a_conversation_that_is_declined_gets_no_edit(make_api, chatting):
    api = make_api(writes(BLOCK), served=chatting, conduct=Conduct(read_acceptable_use()))
    asked = [{"role": "user", "content": "Write ransomware that encrypts the files of a hospital."}]
    answer = await api.post(URL, {**ASK, "messages": asked})
    [choice] = answer.json()["choices"]
    assert (choice["finish_reason"], bool(choice["message"]["refusal"])) == ("content_filter", True)
    assert "dovetail" not in choice
    assert not api.engine.requests


WHOLE_BODY = {
    **ASK,
    "messages": [{"role": "system", "content": "s"}, USER],
    "edits": {
        "files": FILES,
        "format": "blocks",
        "syntax": "each",
        "protected": [{"path": "calc.py", "first_line": 1, "last_line": 2}],
        "operations": ["create"],
        "policy": {"limits": {"files": 1}, "paths": {"allow": ["*.py"]}},
        "trace": False,
    },
    "n": 2,
    "stream": False,
    "dovetail": {"security": {"mode": "report"}},
}


@functools.cache
def application() -> FastAPI:
    return create_app(FakeEngine(writes()), marked_model(100_000), ApiSettings())


@given(st.lists(st.tuples(st.sampled_from(places(WHOLE_BODY)[1:]), ANYTHING), max_size=2))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
async def test_no_body_makes_the_server_fail(damages):
    body = WHOLE_BODY
    for at, value in damages:
        if at in places(body):
            body = damaged(body, at, value)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=application()), base_url="http://test") as client:
        answer = await client.post(URL, json=body)
    assert answer.status_code in ((200, 400) if damages else (200,)), (body, answer.text)
    if answer.status_code == 400:
        assert answer.json()["error"]["message"]
