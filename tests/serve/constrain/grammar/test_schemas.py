"""Whatever a random model finishes under a JSON schema validates against it; what cannot be enforced is refused by place."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

import pytest
from byte_pairs import spelled, vocabulary
from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.validators import validator_for
from schemas import HANDWRITTEN, UNSUPPORTED, Generator, Schema
from walking import walk

from dovetail.serve.constrain.grammar.compile import compile_grammar
from dovetail.serve.constrain.grammar.source import check_grammar, left_out, prepared_schema
from dovetail.serve.errors import UserError
from dovetail.serve.types import GrammarSpec

GENERATED = 500
BATCHES = 10


def spec_of(schema: object, **options: Any) -> GrammarSpec:
    return GrammarSpec(kind="json_schema", source=json.dumps(schema), **options)


FORMATS = FormatChecker(["date", "ipv4", "ipv6", "uuid", "email"])
TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?([zZ]|[+-]\d\d:\d\d)")


@FORMATS.checks("time")
def _is_time(value: object) -> bool:
    """RFC 3339's; jsonschema's own wants Python's."""
    return not isinstance(value, str) or TIME.fullmatch(value) is not None


def validates(schema: Schema | bool, text: str) -> None:
    """Fails unless ``text`` is JSON that ``schema`` accepts; numbers are decimals, so that multiples are exact."""
    exact = json.loads(json.dumps(schema), parse_float=Decimal)
    value = json.loads(text, parse_float=Decimal)
    validator_for(exact, default=Draft202012Validator)(exact, format_checker=FORMATS).validate(value)


def finished(schema: Schema | bool, seeds: range, **options: Any) -> list[str]:
    spec = spec_of(schema, **options)
    check_grammar(spec)
    outputs = [walk(compile_grammar(spec, vocabulary()), seed) for seed in seeds]
    return [spelled(tokens).decode() for tokens, complete in outputs if complete]


@pytest.mark.parametrize("schema", HANDWRITTEN, ids=lambda schema: json.dumps(schema)[:60])
def test_finished_outputs_validate(schema: Schema | bool) -> None:
    outputs = finished(schema, range(6))
    assert outputs
    for output in outputs:
        validates(schema, output)


@pytest.mark.parametrize("batch", range(BATCHES))
def test_generated_schemas(batch: int) -> None:
    generator = Generator(batch)
    count = 0
    for index in range(GENERATED // BATCHES):
        schema = generator.schema(1 + index * 4 // (GENERATED // BATCHES))
        for output in finished(schema, range(2)):
            count += 1
            validates(schema, output)
    assert count > GENERATED // BATCHES


@pytest.mark.parametrize(("schema", "place"), UNSUPPORTED, ids=lambda part: json.dumps(part)[:60])
def test_what_cannot_be_enforced_is_refused_by_place(schema: Schema | bool, place: str) -> None:
    for refuse in (check_grammar, lambda spec: compile_grammar(spec, vocabulary())):
        with pytest.raises(UserError) as caught:
            refuse(spec_of(schema, param="a.field"))
        assert (caught.value.status, caught.value.param) == (400, "a.field")
        assert f"a.field: at {place}: " in caught.value.message


def test_a_lenient_schema_says_what_it_leaves_out_and_keeps_the_rest() -> None:
    schema = {
        "type": "object",
        "properties": {
            "a": {"type": "integer", "not": {"const": 3}},
            "b": {"oneOf": [{"type": "number"}, {"minimum": 3}]},
        },
        "required": ["a"],
        "additionalProperties": False,
    }
    assert left_out(spec_of(schema, lenient=True)) == ["#/properties/a/not", "#/properties/b/oneOf"]
    del schema["properties"]["a"]["not"], schema["properties"]["b"]
    for output in finished(
        {**schema, "properties": {"a": {"type": "integer", "not": {"const": 3}}}}, range(5), lenient=True
    ):
        validates(schema, output)


@pytest.mark.parametrize("whitespace", ["flexible", "compact"])
def test_white_space_never_runs_away(whitespace: Any) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "integer"}}}, "required": ["a"]}
    start = compile_grammar(spec_of(schema, whitespace=whitespace), vocabulary())
    encode = vocabulary().encode

    def takes(text: str) -> bool:
        state = start
        for token in encode(text):
            if not state.allows(token):
                return False
            state = state.advance(token)
        return True

    flexible = whitespace == "flexible"
    assert takes('{"a":[1,2]}')
    assert takes('{"a": [1, 2]}') == flexible
    assert takes('{\n  "a": [\n    1,\n    2\n  ]\n}') == flexible
    assert takes('{\n\t"a": [\n\t\t1\n\t]\n}') == flexible
    for text in ("{  ", "{\n\n", '{ \n "a"', "{\n" + " " * 25, "{\r", ' {"a"', '{"a": [1]} ', '{"a": [1]}\n'):
        assert not takes(text), text


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("{", "not valid JSON"),
        ("3", "must be an object"),
        ('{"items":' * 80 + "{}" + "}" * 80, "60 levels deep"),
        ("[" * 5000 + "]" * 5000, "levels deep"),
        (json.dumps({"enum": ["x" * 600_000]}), "characters"),
        (
            json.dumps(
                {
                    "$defs": {f"d{number}": {"items": {"$ref": f"#/$defs/d{number + 1}"}} for number in range(20_000)},
                    "$ref": "#/$defs/d0",
                }
            ),
            "characters",
        ),
        (
            json.dumps(
                {
                    "$defs": {f"d{number}": {"items": {"$ref": f"#/$defs/d{number + 1}"}} for number in range(5_000)},
                    "$ref": "#/$defs/d0",
                }
            ),
            "definitions",
        ),
        (
            json.dumps(
                {
                    "allOf": [
                        {"anyOf": [{"properties": {f"p{i}": {"const": j}}, "required": [f"p{i}"]} for j in range(6)]}
                        for i in range(8)
                    ]
                }
            ),
            "too large",
        ),
        (json.dumps({"$ref": "#"}), "no output can satisfy it"),
    ],
    ids=range(9),
)
def test_what_would_stall_the_engine_is_refused(source: str, what: str) -> None:
    with pytest.raises(UserError, match=what) as caught:
        compile_grammar(GrammarSpec(kind="json_schema", source=source), vocabulary())
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("schema", "left", "without"),
    [
        (
            {"properties": {"a": {"type": "string", "pattern": "(?=a)b"}}},
            ["#/properties/a/pattern"],
            {"a": {"type": "string"}},
        ),
        (
            {"properties": {"a": {"$ref": "#/nowhere", "type": "null"}}},
            ["#/properties/a/$ref"],
            {"a": {"type": "null"}},
        ),
        ({"properties": {"a": {"type": "strin"}}}, ["#/properties/a/type"], {"a": {}}),
        (
            {"properties": {"a": {"oneOf": [{"type": "number"}, {"type": "integer"}]}}},
            ["#/properties/a/oneOf"],
            {"a": {"anyOf": [{"type": "number"}, {"type": "integer"}]}},
        ),
        (
            {"properties": {"a": {"not": {}, "pattern": "["}, "b": {"format": "iri", "type": "integer"}}},
            ["#/properties/a/not", "#/properties/a/pattern", "#/properties/b/format"],
            {"a": {}, "b": {"type": "integer"}},
        ),
    ],
    ids=range(5),
)
def test_lenient_schemas_lose_only_what_is_complained_of(schema: Schema, left: list[str], without: Schema) -> None:
    spec = spec_of(schema, lenient=True)
    assert sorted(left_out(spec)) == sorted(left)
    assert prepared_schema(spec).schema == {"properties": without}
    assert finished(schema, range(3), lenient=True)


@pytest.mark.parametrize(("schema", "place"), UNSUPPORTED[1:], ids=lambda part: json.dumps(part)[:60])
def test_lenient_schemas_are_never_refused(schema: Schema, place: str) -> None:
    check_grammar(spec_of(schema, lenient=True))
    assert left_out(spec_of(schema, lenient=True))
