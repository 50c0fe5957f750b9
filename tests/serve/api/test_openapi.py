"""The OpenAPI document has a schema for every body and every answer; conftest.py holds all answers of these tests to theirs."""

from __future__ import annotations

import re

import httpx
import pytest
from answer_shapes import WrongShape, check_answer, document
from jsonschema import Draft202012Validator

from dovetail.serve.api.operations import OPERATIONS

BODILESS = {"/v1/responses/{response_id}/cancel", "/v1/batches/{id}/cancel"}
FORMS = {"/v1/files"}


async def test_every_post_has_a_body_that_can_be_looked_up(make_api):
    document = (await make_api(docs=True).client.get("/openapi.json")).json()
    schemas = document["components"]["schemas"]
    for path, operations in document["paths"].items():
        if "post" not in operations or path in BODILESS:
            continue
        content = operations["post"]["requestBody"]["content"]
        if path in FORMS:
            assert "file" in content["multipart/form-data"]["schema"]["properties"]
        else:
            reference = content["application/json"]["schema"]["$ref"]
            assert reference.removeprefix("#/components/schemas/") in schemas, path
    for path, operations in document["paths"].items():
        for operation in operations.values():
            named = {each["name"] for each in operation.get("parameters", []) if each["in"] == "path"}
            assert named == set(re.findall(r"{(\w+)}", path)), path
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
    referred = set(re.findall(r"#/components/schemas/([^\"']+)", str(document)))
    assert referred <= set(schemas)
    assert "messages" in schemas["ChatBody"]["properties"]


async def test_without_docs_there_is_none(make_api):
    assert (await make_api().client.get("/openapi.json")).status_code == 404


async def test_every_operation_is_told_in_words(make_api):
    document = (await make_api(docs=True).client.get("/openapi.json")).json()
    operations = {(method, path) for path, methods in document["paths"].items() for method in methods}
    told = {key for key in OPERATIONS if not key[1].startswith("/v1/system-card")}  # there with a card
    assert operations == told, "give the route its line in serve/api/operations.py"
    for method, path in operations:
        operation = document["paths"][path][method]
        answers = {"200", "default"} if OPERATIONS[method, path].media else {"default"}
        assert operation["tags"] and set(operation["responses"]) == answers
        assert (operation["security"] == []) == (path in ("/health", "/ready"))


def test_every_answer_has_a_schema():
    for path, operations in document()["paths"].items():
        for method, operation in operations.items():
            for media, content in operation["responses"].get("200", {}).get("content", {}).items():
                textual = media.startswith("text/") and media != "text/event-stream"
                assert textual or media == "application/jsonl" or "string" not in content["schema"].values(), (
                    path,
                    media,
                )
                assert content["schema"], (method, path, media)


@pytest.mark.parametrize(
    "body",
    [{"status": "ok", "server": "dovetail"}, {"status": "ok", "server": "dovetail", "version": "1", "more": 1}],
)
async def test_an_answer_of_another_shape_is_found(body: dict[str, object]):
    request = httpx.Request("GET", "http://test/health")
    with pytest.raises(WrongShape):
        await check_answer(httpx.Response(200, json=body, request=request))


async def test_an_event_of_another_shape_is_found():
    request = httpx.Request("POST", "http://test/v1/edits")
    said = b'event: edit.done\ndata: {"type": "edit.done", "index": 0}\n\n'
    headers = {"content-type": "text/event-stream; charset=utf-8"}
    with pytest.raises(WrongShape):
        await check_answer(httpx.Response(200, content=said, headers=headers, request=request))


async def test_what_other_clients_ask_for_elsewhere_has_its_shape_too(make_api):
    api = make_api()
    asked = {"model": "tiny", "messages": [{"role": "user", "content": "x"}], "store": True, "metadata": {"a": "b"}}
    stored = f"/v1/chat/completions/{(await api.post('/v1/chat/completions', asked)).json()['id']}"
    for path in ("/v1/chat/completions", stored, f"{stored}/messages", "/v1/batches", "/v1/files"):
        assert (await api.client.get(path)).status_code == 200
    assert (await api.post(stored, {"metadata": {"a": "c"}})).status_code == 200
    assert (await api.client.delete(stored)).json()["deleted"] is True
    for more in ({"content": "x"}, {"content": "ö", "with_pieces": True}, {"prompt": "x", "return_token_strs": True}):
        assert (await api.post("/tokenize", more)).status_code == 200
    assert (await api.post("/detokenize", {"tokens": [104, 105]})).json()["content"] == "hi"
    anthropic = {"anthropic-version": "2023-06-01"}
    for path in ("/v1/models", "/v1/models/tiny"):
        assert (await api.client.get(path, headers=anthropic)).status_code == 200
