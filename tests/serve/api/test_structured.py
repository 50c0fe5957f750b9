"""response_format, regex, grammar and choice on the wire: what the engine is asked for, and every refusal."""

from __future__ import annotations

import json

import pytest

from dovetail.serve.types import GrammarSpec

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
ASK = {CHAT: {"messages": [{"role": "user", "content": "Hi"}]}, COMPLETIONS: {"prompt": "Hi"}}
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False}


def schema_format(schema: object = SCHEMA, **more: object) -> dict[str, object]:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, **more}}


@pytest.mark.parametrize("url", [CHAT, COMPLETIONS])
@pytest.mark.parametrize(
    ("fields", "kind", "source"),
    [
        ({"response_format": {"type": "json_object"}}, "json_object", ""),
        ({"response_format": {"type": "json_object", "schema": SCHEMA}}, "json_schema", json.dumps(SCHEMA)),
        ({"response_format": schema_format(strict=True)}, "json_schema", json.dumps(SCHEMA)),
        ({"response_format": schema_format(description="d")}, "json_schema", json.dumps(SCHEMA)),
        ({"regex": r"\d+"}, "regex", r"\d+"),
        ({"grammar": 'start: "a"'}, "lark", 'start: "a"'),
        ({"choice": ["yes", "no"]}, "choice", '["yes", "no"]'),
        ({"choice": ["yes", "no"], "response_format": {"type": "text"}}, "choice", '["yes", "no"]'),
    ],
)
async def test_the_engine_gets_the_grammar(api, url, fields, kind, source):
    answer = await api.post(url, {**ASK[url], **fields, "n": 2})
    assert answer.status_code == 200, answer.text
    assert len(api.engine.requests) == 2
    for request in api.engine.requests:
        spec = request.constraint
        assert isinstance(spec, GrammarSpec)
        assert (spec.kind, spec.source, spec.lenient) == (kind, source, False)


@pytest.mark.parametrize(
    "fields", [{}, {"response_format": {"type": "text"}}, {"response_format": None, "regex": None}]
)
async def test_free_text_has_no_grammar(api, fields):
    assert (await api.post(CHAT, {**ASK[CHAT], **fields})).status_code == 200
    assert api.engine.requests[0].constraint is None


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("url", [CHAT, COMPLETIONS])
@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"response_format": {"type": "xml"}}, "response_format.type", "json_schema"),
        ({"response_format": {}}, "response_format.type", "must be"),
        ({"response_format": "json"}, "response_format", "must be an object"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema", "must be an object"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}}, "response_format.json_schema.schema", "required"),
        ({"response_format": schema_format(name=3)}, "response_format.json_schema.name", "string"),
        ({"response_format": schema_format(strict="yes")}, "response_format.json_schema.strict", "true or false"),
        ({"response_format": schema_format([])}, "response_format.json_schema.schema", "must be a JSON schema"),
        ({"response_format": schema_format({"properties": {"a": {"not": {}}}})}, "response_format.json_schema.schema", "#/properties/a/not"),
        ({"response_format": schema_format({"items": {"pattern": "("}})}, "response_format.json_schema.schema", "at #/items: regular expression"),
        ({"response_format": {"type": "json_object", "schema": {"not": {}}}}, "response_format.schema", "#/not"),
        ({"regex": "("}, "regex", "unclosed group"),
        ({"regex": ""}, "regex", "at least"),
        ({"grammar": "start: ("}, "grammar", "Expected"),
        ({"grammar": "start: <[7]>"}, "grammar", "by id"),
        ({"choice": []}, "choice", "at least 1"),
        ({"choice": [1]}, "choice[0]", "string"),
        ({"regex": "a", "choice": ["a"]}, "choice", "together"),
        ({"regex": "a", "response_format": {"type": "json_object"}}, "regex", "together"),
        ({"regex": "a", "min_tokens": 3}, "min_tokens", "together with a structured output"),
        ({"regex": "a", "ignore_eos": True}, "ignore_eos", "together"),
        ({"regex": "a", "stop_token_ids": [5]}, "stop_token_ids", "together"),
    ],
)  # fmt: skip
async def test_what_cannot_be_enforced_is_a_400_before_anything_streams(api, url, stream, fields, param, words):
    answer = await api.post(url, {**ASK[url], **fields, "stream": stream})
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["param"] == param
    assert words in error["message"]
    assert not api.engine.requests


async def test_a_schema_that_is_not_strict_says_what_it_leaves_out(api):
    schema = {"properties": {"a": {"type": "array", "uniqueItems": True}}}
    answer = await api.post(CHAT, {**ASK[CHAT], "response_format": schema_format(schema, strict=False)})
    assert answer.status_code == 200
    place = "response_format.json_schema.schema.properties.a.uniqueItems"
    assert place in answer.headers["x-dovetail-ignored"] or "?" in answer.headers["x-dovetail-ignored"]
    assert api.engine.requests[0].constraint.lenient


async def test_a_grammar_is_checked_once(api, monkeypatch):
    asked = []
    monkeypatch.setattr("dovetail.serve.api.structured.checked", lambda spec: asked.append(spec) or [])
    for _ in range(3):
        assert (await api.post(CHAT, {**ASK[CHAT], "regex": "a+"})).status_code == 200
    assert len(asked) == 1


async def test_a_grammar_that_only_its_first_mask_shows_to_be_unusable_begins_no_stream(api):
    for source in ("start: a\na: b\nb: a", "start: A\nA: " + " & ".join(f"/(?s:.*)w{i}(?s:.*)/" for i in range(14))):
        answer = await api.post(CHAT, {**ASK[CHAT], "grammar": source, "stream": True})
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "grammar")
    assert not api.engine.requests


async def test_a_grammar_that_takes_too_long_is_refused(api, monkeypatch):
    import threading

    go_on = threading.Event()
    monkeypatch.setattr("dovetail.serve.api.structured.checked", lambda spec: go_on.wait(20))
    monkeypatch.setattr("dovetail.serve.api.structured.COMPILE_SECONDS", 0.05)
    answer = await api.post(CHAT, {**ASK[CHAT], "regex": "a+"})
    go_on.set()
    assert answer.status_code == 400
    assert (answer.json()["error"]["code"], answer.json()["error"]["param"]) == ("grammar_too_complex", "regex")
