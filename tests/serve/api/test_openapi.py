"""The OpenAPI document names every endpoint's body."""

from __future__ import annotations

import re

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
        assert operation["tags"] and set(operation["responses"]) == {"200", "default"}
        assert (operation["security"] == []) == (path in ("/health", "/ready"))
