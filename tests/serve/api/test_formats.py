"""What Responses and Messages hold an answer's text to, as the engine is told."""

from __future__ import annotations

import json

import pytest
from marked_dialect import marked_model

from dovetail.serve.types import GrammarSpec

SCHEMA = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}
ODD = {"type": "array", "items": {"type": "string"}, "uniqueItems": True, "contains": {"const": "a"}}


def response(format: object) -> tuple[str, dict[str, object]]:
    return "/v1/responses", {"input": "x", "text": {"format": format}}


def message(format: object) -> tuple[str, dict[str, object]]:
    messages = [{"role": "user", "content": "x"}]
    return "/v1/messages", {"max_tokens": 9, "messages": messages, "output_config": {"format": format}}


@pytest.mark.parametrize(
    ("asked", "param", "lenient"),
    [
        (response({"type": "json_schema", "name": "n", "schema": SCHEMA}), "text.format.schema", False),
        (response({"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": False}), "text.format.schema", True),
        (message({"type": "json_schema", "schema": SCHEMA}), "output_config.format.schema", False),
    ],
)
async def test_a_schema_reaches_the_engine(api, asked, param, lenient):
    assert (await api.post(*asked)).status_code == 200
    [request] = api.engine.requests
    assert isinstance(request.constraint, GrammarSpec)
    assert json.loads(request.constraint.source) == SCHEMA
    assert (request.constraint.param, request.constraint.lenient) == (param, lenient)


async def test_any_json_object(api):
    body = (await api.post(*response({"type": "json_object"}))).json()
    assert api.engine.requests[0].constraint.kind == "json_object"
    assert body["text"]["format"] == {"type": "json_object"}


async def test_no_format_is_no_constraint(api):
    assert (await api.post(*response({"type": "text"}))).status_code == 200
    assert api.engine.requests[0].constraint is None


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (response({"type": "json_schema", "name": "n"}), "text.format.schema"),
        (response({"type": "yaml"}), "text.format.type"),
        (response({"type": "json_schema", "name": "n", "schema": ODD, "strict": True}), "text.format.schema"),
        (message({"type": "json_schema", "schema": ODD}), "output_config.format.schema"),
        (message({"type": "json_schema"}), "output_config.format.schema is required"),
    ],
)
async def test_a_format_that_cannot_be_kept_is_refused_before_anything_is_asked(api, asked, said):
    answer = await api.post(*asked)
    assert (answer.status_code, api.engine.requests) == (400, [])
    assert said in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("url", "body", "place"),
    [
        (
            "/v1/responses",
            {"input": "x", "tools": [{"type": "function", "name": "f", "parameters": ODD, "strict": True}]},
            "tools[0].parameters",
        ),
        (
            "/v1/messages",
            {
                "max_tokens": 9,
                "messages": [{"role": "user", "content": "x"}],
                "tools": [{"name": "f", "input_schema": ODD, "strict": True}],
            },
            "tools.0.input_schema",
        ),
    ],
)
async def test_a_strict_tool_that_cannot_be_kept_to_is_refused_by_its_place(make_api, url, body, place):
    answer = await make_api(served=marked_model()).post(url, body)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith(place)
