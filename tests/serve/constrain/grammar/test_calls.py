"""Grammars of tool calls in the ways models write them, and what they let through."""

from __future__ import annotations

import json

import pytest
from byte_pairs import vocabulary

from dovetail.serve.constrain.grammar.calls import CallForm, CallsForm, arguments, calls_grammar
from dovetail.serve.constrain.grammar.compile import compile_grammar
from dovetail.serve.errors import UserError
from dovetail.serve.types import GrammarSpec

CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
LIST = CallsForm('[{"name": "', ', {"name": "', "]", opener_token=1)


def calls() -> list[CallForm]:
    weather, _ = arguments(CITY, param="tools[0].function.parameters")
    nothing, _ = arguments({}, param="tools[1].function.parameters")
    return [CallForm('weather", "arguments": ', weather, "}"), CallForm('now", "arguments": ', nothing, "}")]


def takes(spec: GrammarSpec, *pieces: str | int) -> bool | None:
    """Whether the output may be these texts and special tokens: True complete, None a beginning, False neither."""
    state = compile_grammar(spec, vocabulary())
    for piece in pieces:
        for token in [piece] if isinstance(piece, int) else vocabulary().encode(piece):
            if not state.allows(token):
                return False
            state = state.advance(token)
    return state.may_end() or None


TEXT_CALLS = CallsForm("<tool_call>\n", "\n<tool_call>\n", "")
WEATHER = '{"name": "weather", "arguments": {"city": "Köln"}}\n</tool_call>'
NOW = '{"name": "now", "arguments": {"any": [1]}}\n</tool_call>'


def tagged() -> list[CallForm]:
    return [CallForm('{"name": "' + call.before, call.arguments, "}\n</tool_call>") for call in calls()]


def test_free_text_until_the_opener_then_calls_by_schema() -> None:
    spec = calls_grammar(tagged(), TEXT_CALLS)
    assert takes(spec, "no call at all { } </tool_call>") is True
    assert takes(spec, "I look. <tool_call>\n" + WEATHER) is True
    assert takes(spec, "<tool_call>\n" + WEATHER + "\n<tool_call>\n" + NOW) is True
    assert takes(spec, "<tool_call>\n" + WEATHER + " and on") is False
    assert takes(spec, "<tool_call>\n") is None
    assert takes(spec, '<tool_call>\n{"name": "other') is False
    assert takes(spec, "<tool_call>\n" + WEATHER.replace("Köln", 'x", "y": "z')) is False


def test_required_calls_one_at_a_time_without_text() -> None:
    spec = calls_grammar(tagged(), TEXT_CALLS, text=False, required=True, several=False)
    assert takes(spec, "<tool_call>\n" + NOW) is True
    assert takes(spec, "") is None
    assert takes(spec, "x") is False
    assert takes(spec, "<tool_call>\n" + NOW + "\n<tool_call>\n") is False


@pytest.mark.parametrize("required", [True, False])
def test_an_opener_that_is_a_special_token(required: bool) -> None:
    spec = calls_grammar(calls(), LIST, required=required)
    body = '[{"name": "weather", "arguments": {"city": "x"}}, {"name": "now", "arguments": {}}]'
    assert takes(spec, "text ", 1, body) is True
    assert takes(spec, 1, body) is True
    assert takes(spec, "text") is (None if required else True)
    assert takes(spec, 0) is False
    assert takes(spec, 1, body, 1) is False


def test_arguments_say_what_they_do_not_enforce_or_refuse() -> None:
    schema = {"type": "object", "properties": {"a": {"not": {}}}}
    expression, left_out = arguments(schema, param="tools[0]")
    assert left_out == ["#/properties/a/not"]
    assert json.loads(expression.removeprefix("%json "))["properties"] == {"a": {}}
    with pytest.raises(UserError, match=r"tools\[0\]: at #/properties/a/not"):
        arguments(schema, param="tools[0]", lenient=False)
