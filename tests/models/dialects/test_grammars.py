"""Grammars of all families: what their readers read as calls is allowed, what does not keep to the tools is not."""

from __future__ import annotations

import re

import pytest
from llguidance import LLMatcher, LLTokenizer, TokenizerWrapper
from offered import TOOLS, Offered
from shapes import CALLS, FAMILIES

from dovetail.models.dialects.family import Family
from dovetail.models.dialects.lark import Lark

MARKS = sorted({mark for family in FAMILIES for mark in family.markers})


class Bytes:
    """One token per byte, and one for each marker of any dialect."""

    tokens = [bytes([byte]) for byte in range(256)] + [mark.encode() for mark in MARKS] + [b"</s>"]
    special_token_ids = list(range(256, len(tokens)))  # noqa: RUF012
    eos_token_id = len(tokens) - 1
    bos_token_id = None

    def __call__(self, text: str | bytes) -> list[int]:
        return list(text if isinstance(text, bytes) else text.encode())


TOKENIZER = LLTokenizer(TokenizerWrapper(Bytes()))
SPLIT = re.compile("(" + "|".join(map(re.escape, MARKS)) + ")")


def matches(grammar: str, text: str, special: dict[str, int]) -> bool:
    """Whether the grammar takes the text, and may end there."""
    matcher = LLMatcher(TOKENIZER, grammar)
    assert not matcher.is_error(), matcher.get_error()
    for part in SPLIT.split(text):
        tokens = [special[part]] if part in special else list(part.encode())
        if matcher.try_consume_tokens(tokens) != len(tokens):
            return False
    return matcher.is_accepting()


def grammar_of(
    family: Family, special: dict[str, int], tools: tuple[Offered, ...] = TOOLS, parallel: bool = True
) -> str:
    lark = Lark(special)
    calls = family.calls(tools, parallel, lark)
    return lark.text(f"{lark.literal(family.opener)} {calls}" if family.opener else calls)


SPECIAL = {mark: 256 + at for at, mark in enumerate(MARKS)}


@pytest.mark.parametrize("special", [{}, SPECIAL], ids=["text", "tokens"])
@pytest.mark.parametrize(
    ("family", "text"), [(f, t) for f, t, _ in CALLS], ids=lambda value: getattr(value, "name", None)
)
def test_calls_as_they_are_written_are_allowed(family, text, special):
    grammar = grammar_of(family, {mark: token for mark, token in special.items() if mark in family.markers})
    assert matches(grammar, text, special)


@pytest.mark.parametrize(
    ("family", "text"), [(f, t) for f, t, _ in CALLS if "a.py" in t], ids=lambda v: getattr(v, "name", None)
)
def test_other_tools_are_not_allowed(family, text):
    wrong = text.replace("read", "erase", 1)
    assert not matches(grammar_of(family, {}), wrong, {})


@pytest.mark.parametrize(
    ("family", "text"), [(f, t) for f, t, _ in CALLS if '{"path": "a.py"}' in t], ids=lambda v: getattr(v, "name", None)
)
def test_arguments_keep_to_their_schema(family, text):
    for wrong in ('{"path": 3}', "{}", '{"path": "a.py", "lines": "many"}', '{"path": "a.py"]'):
        assert not matches(grammar_of(family, {}), text.replace('{"path": "a.py"}', wrong, 1), {})


def test_one_call_where_only_one_is_allowed():
    for family, text, means in CALLS:
        calls = sum(kind == "call" for kind, _ in means)
        assert matches(grammar_of(family, {}, parallel=False), text, {}) == (calls == 1), family.name


def test_custom_inputs_keep_to_their_grammars():
    hermes, mistral_list = FAMILIES[0], FAMILIES[7]
    said = '<tool_call>\n{"name": "patch", "arguments": "below"}\n*** Begin\n*x\n*** End\n</tool_call>'
    assert not matches(grammar_of(hermes, {}), said, {})
    said = '[TOOL_CALLS][{"name": "digits", "arguments": {"input": "12/x"}}]'
    assert not matches(grammar_of(mistral_list, {}), said, {})
    assert matches(grammar_of(mistral_list, {}), said.replace("x", "7"), {})


def test_parameters_with_references_keep_their_definitions():
    schema = {
        "type": "object",
        "properties": {"kind": {"$ref": "#/$defs/kind"}, "other": {"$ref": "#/properties/kind"}},
        "required": ["kind"],
        "$defs": {"kind": {"enum": [1, 2]}},
    }
    grammar = grammar_of(FAMILIES[2], {}, (Offered("f", parameters=schema),))
    said = "<tool_call>f\n<arg_key>kind</arg_key>\n<arg_value>{}</arg_value>\n</tool_call>"
    assert matches(grammar, said.format(2), {})
    assert not matches(grammar, said.format(3), {})
