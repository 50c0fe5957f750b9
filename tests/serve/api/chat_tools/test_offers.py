"""Tools as they are offered: choices as grammars, schemas as clients write them, and refusals that name the place."""

from __future__ import annotations

import pytest
from offered_tools import BARE, READ, URL, ask
from tool_model import TEMPLATE, tool_model

from dovetail.serve.types import CarrierSpec, GrammarSpec, Request


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
