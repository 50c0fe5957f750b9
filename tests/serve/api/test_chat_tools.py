"""Chat Completions with tools: calls whole and streamed, choices, custom tools, reasoning, histories, refusals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from openai import AsyncOpenAI
from tool_model import TEMPLATE, pieces, tool_model

from dovetail.models.random_checkpoint import write_random_checkpoint
from dovetail.serve.engine.fake import reply
from dovetail.serve.types import CarrierSpec, GrammarSpec, Request

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


@pytest.fixture(scope="session")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tiny")
    write_random_checkpoint(
        path, family="qwen2", seed=0, vocab_size=512, hidden=64, layers=1, max_position_embeddings=64
    )
    return path


@pytest.fixture
def model(directory):
    return tool_model(directory)


@pytest.fixture
def speaking(make_api, model):
    """An application whose model says a text, token by token."""

    def make(text: str = "hi", **settings: object):
        return make_api(lambda request: reply(request, pieces(text), model.codec.encode), served=model, **settings)

    return make


def ask(**fields: object) -> dict:
    return {"messages": [USER], "tools": [READ, BARE, PATCH], **fields}


def chunks(text: str) -> list[dict]:
    lines = [line.removeprefix("data: ") for line in text.split("\n\n") if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    return [json.loads(line)["choices"][0] for line in lines[:-1]]


async def test_a_call(speaking):
    api = speaking(f"Let me look.\n{CALL}")
    [choice] = (await api.post(URL, ask())).json()["choices"]
    assert choice["finish_reason"] == "tool_calls"
    message = choice["message"]
    assert message["content"] == "Let me look."
    [call] = message["tool_calls"]
    assert call["id"].startswith("call_")
    assert (call["type"], call["function"]) == ("function", {"name": "read", "arguments": '{"path": "a.py"}'})


async def test_a_call_alone_has_no_content(speaking):
    [choice] = (await speaking(CALL).post(URL, ask())).json()["choices"]
    assert choice["message"]["content"] is None


async def test_a_streamed_call(speaking):
    api = speaking(f'Look.\n{CALL}\n<tool_call>\n{{"name": "now"}}\n</tool_call>')
    deltas = chunks((await api.post(URL, ask(stream=True))).text)
    assert deltas[-1]["finish_reason"] == "tool_calls"
    calls = [call for each in deltas for call in each["delta"].get("tool_calls", ())]
    heads = [call for call in calls if "id" in call]
    assert [(call["index"], call["type"], call["function"]) for call in heads] == [
        (0, "function", {"name": "read", "arguments": ""}),
        (1, "function", {"name": "now", "arguments": ""}),
    ]
    first = [call["function"]["arguments"] for call in calls if call["index"] == 0]
    assert len(first) > 5, "arguments are streamed as they come"
    assert "".join(first) == '{"path": "a.py"}'
    assert "".join(call["function"]["arguments"] for call in calls if call["index"] == 1) == "{}"


async def test_custom_tools_carry_plain_input(speaking):
    said = '<tool_call>\n{"name": "patch", "arguments": "below"}\n+abc\n</tool_call>'
    [choice] = (await speaking(said).post(URL, ask())).json()["choices"]
    [call] = choice["message"]["tool_calls"]
    assert (call["type"], call["custom"]) == ("custom", {"name": "patch", "input": "+abc"})
    deltas = chunks((await speaking(said).post(URL, ask(stream=True))).text)
    calls = [call for each in deltas for call in each["delta"].get("tool_calls", ())]
    assert calls[0]["custom"] == {"name": "patch", "input": ""}
    assert "".join(call["custom"]["input"] for call in calls) == "+abc"


async def test_functions_as_they_once_were(speaking):
    body = {"messages": [USER], "functions": [READ["function"]], "function_call": "auto"}
    [choice] = (await speaking(CALL).post(URL, body)).json()["choices"]
    assert choice["finish_reason"] == "function_call"
    assert choice["message"]["function_call"] == {"name": "read", "arguments": '{"path": "a.py"}'}
    assert "tool_calls" not in choice["message"]
    deltas = chunks((await speaking(CALL).post(URL, {**body, "stream": True})).text)
    told = [each["delta"]["function_call"] for each in deltas if "function_call" in each["delta"]]
    assert told[0] == {"name": "read", "arguments": ""}
    assert "".join(each["arguments"] for each in told) == '{"path": "a.py"}'


async def test_what_is_no_call_is_text(speaking):
    for said in ("<tool_call> is a tag", '<tool_call>{"nam', "<tool_call>\n[]\n</tool_call>"):
        [choice] = (await speaking(said).post(URL, ask())).json()["choices"]
        assert (choice["message"]["content"], choice["finish_reason"]) == (said, "stop")


async def test_a_call_that_the_budget_cuts_off_is_told_as_far_as_it_went(speaking, model):
    budget = len([token for piece in pieces(CALL[:50]) for token in model.codec.encode(piece)])
    [choice] = (await speaking(CALL).post(URL, ask(max_completion_tokens=budget))).json()["choices"]
    assert choice["finish_reason"] == "length"
    assert choice["message"]["tool_calls"][0]["function"]["arguments"].startswith('{"pa')


async def test_without_tools_tags_are_text(speaking):
    for body in ({"messages": [USER]}, ask(tools=[]), ask(tool_choice="none")):
        [choice] = (await speaking(CALL).post(URL, body)).json()["choices"]
        assert (choice["message"]["content"], choice["finish_reason"]) == (CALL, "stop")


async def test_reasoning_is_told_apart(speaking):
    said = "<think>\nHm.\n</think>\n\nHello"
    answer = (await speaking(said).post(URL, {"messages": [USER], "reasoning_effort": "high"})).json()
    message = answer["choices"][0]["message"]
    assert (message["reasoning_content"], message["content"]) == ("Hm.", "Hello")
    assert 0 < answer["usage"]["completion_tokens_details"]["reasoning_tokens"] < answer["usage"]["completion_tokens"]
    deltas = chunks((await speaking(said).post(URL, {"messages": [USER], "stream": True})).text)
    assert "".join(each["delta"].get("reasoning_content", "") for each in deltas) == "Hm."
    assert "".join(each["delta"].get("content", "") for each in deltas) == "Hello"


async def test_effort_reaches_the_template(speaking, model):
    api = speaking()
    answer = await api.post(URL, {"messages": [USER], "reasoning_effort": "xhigh"})
    assert "x-dovetail-ignored" not in answer.headers
    assert model.codec.decode(api.engine.requests[-1].prompt).endswith("effort high")


async def test_logprobs_with_tools_lose_no_token(speaking):
    body = ask(logprobs=True, top_logprobs=1)
    whole = (await speaking(f"So:\n{CALL}").post(URL, body)).json()
    entries = whole["choices"][0]["logprobs"]["content"]
    assert len(entries) == whole["usage"]["completion_tokens"]
    deltas = chunks((await speaking(f"So:\n{CALL}").post(URL, {**body, "stream": True})).text)
    told = [entry for each in deltas if each["logprobs"] for entry in each["logprobs"]["content"]]
    assert told == entries


def _grammar(request: Request) -> GrammarSpec:
    """What calls are held to; a tool that edits files has a carrier around it."""
    spec = request.constraint
    spec = spec.grammar if isinstance(spec, CarrierSpec) else spec
    assert isinstance(spec, GrammarSpec)
    return spec


@pytest.mark.parametrize(
    ("choice", "names", "starts"),
    [
        ("auto", {"read", "now", "patch"}, None),
        ("required", {"read", "now", "patch"}, True),
        ({"type": "function", "function": {"name": "now"}}, {"now"}, True),
        ({"type": "custom", "custom": {"name": "patch"}}, {"patch"}, True),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [BARE]}},
            {"now"},
            None,
        ),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [BARE, READ]}},
            {"now", "read"},
            True,
        ),
    ],
)
async def test_a_choice_becomes_a_grammar(speaking, choice, names, starts):
    api = speaking()
    assert (await api.post(URL, ask(tool_choice=choice))).status_code == 200
    spec = _grammar(api.engine.requests[0])
    assert {name for name in ("read", "now", "patch") if f'\\"{name}\\"' in spec.source} == names
    free = spec.source.splitlines()[1].count("|")
    assert bool(free) != bool(starts)


async def test_a_format_and_tools_together(speaking):
    api = speaking("12")
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "integer"}}}
    assert (await api.post(URL, ask(response_format=wanted))).status_code == 200
    source = _grammar(api.engine.requests[0]).source
    assert '"type": "integer"' in source
    assert "</tool_call>" in source
    assert (await api.post(URL, ask(tools=[], response_format=wanted))).status_code == 200
    assert api.engine.requests[1].constraint.kind == "json_schema"


async def test_one_call_at_most_if_parallel_calls_are_off(speaking):
    api = speaking()
    await api.post(URL, ask())
    await api.post(URL, ask(parallel_tool_calls=False))
    both, one = (_grammar(request).source for request in api.engine.requests)
    assert ")*" in both.splitlines()[1]
    assert ")*" not in one.splitlines()[1]


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


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": {}}, "tools"),
        ({"tools": [1]}, "tools[0]"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0].function.name"),
        (
            {"tools": [{"type": "function", "function": {"name": "a", "parameters": []}}]},
            "tools[0].function.parameters",
        ),
        (
            {"tools": [{"type": "function", "function": {"name": "a", "strict": True, "parameters": {"not": {}}}}]},
            "tools[0].function.parameters",
        ),
        (
            {"tools": [{"type": "custom", "custom": {"name": "a", "format": {"type": "grammar"}}}]},
            "tools[0].custom.format.syntax",
        ),
        (
            {
                "tools": [
                    {
                        "type": "custom",
                        "custom": {
                            "name": "a",
                            "format": {"type": "grammar", "syntax": "lark", "definition": "start: <[1]>"},
                        },
                    }
                ]
            },
            "tools[0].custom.format.definition",
        ),
        ({"tools": [], "tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": "sometimes"}, "tool_choice"),
        ({"tool_choice": {"type": "function", "function": {"name": "other"}}}, "tool_choice.function.name"),
        ({"tool_choice": {"type": "allowed_tools", "allowed_tools": {"tools": []}}}, "tool_choice.allowed_tools.tools"),
        ({"reasoning_effort": "enormous"}, "reasoning_effort"),
        ({"metadata": {"a": 1}}, "metadata.a"),
        ({"tool_choice": "required", "ignore_eos": True}, "ignore_eos"),
        ({"messages": [{"role": "assistant", "audio": {"id": "x"}}]}, "messages[0].audio"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"type": "custom"}]}]}, "messages[0].tool_calls[0].custom"),
    ],
)
async def test_a_refusal_names_the_place(speaking, fields, param):
    answer = await speaking().post(URL, ask(**fields))
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["param"] == param


async def test_a_grammar_that_does_not_compile_is_a_400_before_the_stream(speaking):
    tool = {
        "type": "custom",
        "custom": {"name": "a", "format": {"type": "grammar", "syntax": "lark", "definition": "start: ("}},
    }
    answer = await speaking().post(URL, ask(tools=[tool], stream=True))
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (400, "invalid_grammar", "tools[0].custom.format")


async def test_a_lark_grammar_is_refused_where_inputs_stand_inside_json(make_api, directory):
    api = make_api(served=tool_model(directory, TEMPLATE.replace("<tool_call>", "<|tool_call|>")))
    answer = await api.post(URL, ask())
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (400, "tools[2].custom.format")
    assert (await api.post(URL, ask(tools=[READ]))).status_code == 200


async def test_hosted_tools_and_repeated_names_are_left_out_and_named(speaking):
    api = speaking()
    answer = await api.post(URL, ask(tools=[{"type": "web_search"}, READ, READ, {"type": "namespace", "tools": []}]))
    assert answer.status_code == 200
    assert answer.headers["x-dovetail-ignored"] == "tools[0], tools[2], tools[3]"


async def test_schemas_as_clients_write_them(speaking):
    schemas = [
        None,
        {},
        {"type": "object"},
        {"type": "object", "properties": None},
        {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "type": "object",
            "properties": {},
            "additionalProperties": False,
        },
        {
            "type": "object",
            "properties": {"a": {"$ref": "#/$defs/a"}},
            "$defs": {"a": {"anyOf": [{"type": "string"}, {"type": "null"}]}},
        },
        {"type": "object", "properties": {"a": {"type": "string", "format": "odd", "default": "x", "pattern": "^a"}}},
        {"type": "object", "properties": {"a": {"not": {"type": "string"}}, "b": {"type": ["string", "null"]}}},
        {"type": "object", "properties": {f"p{i}": {"type": "string"} for i in range(60)}},
    ]
    tools = [
        {"type": "function", "function": {"name": f"t{i}", "parameters": schema}} for i, schema in enumerate(schemas)
    ]
    for tool in tools:
        answer = await speaking().post(URL, ask(tools=[tool]))
        assert answer.status_code in (200, 400), answer.text
    answer = await speaking().post(URL, ask(tools=[*tools[:3], *tools[4:]]))
    assert answer.status_code == 200, answer.text


async def test_many_tools(speaking):
    tools = [{"type": "function", "function": {**READ["function"], "name": f"tool_{index}"}} for index in range(200)]
    assert (await speaking().post(URL, ask(tools=tools))).status_code == 200


async def test_tools_need_a_dialect(make_api, served):
    answer = await make_api(served=served).post(URL, ask())
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "tools")


async def test_an_overflow_tells_both_numbers(make_api, directory):
    api = make_api(served=tool_model(directory, max_model_len=40))
    answer = await api.post(URL, ask())
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "context_length_exceeded")
    assert "40" in answer.json()["error"]["message"]


async def test_the_official_client_helpers(make_live, model):
    live = await make_live(lambda request: reply(request, pieces(f"Look.\n{CALL}"), model.codec.encode), served=model)
    client = AsyncOpenAI(base_url=f"{live.url}/v1", api_key="none", max_retries=0)
    async with client, client.chat.completions.stream(model="tiny", messages=[USER], tools=[READ]) as stream:
        names = [event.type async for event in stream]
        final = await stream.get_final_completion()
    assert "tool_calls.function.arguments.delta" in names
    assert final.choices[0].message.tool_calls[0].function.arguments == '{"path": "a.py"}'
    assert final.choices[0].message.content == "Look."
