"""Holds every answer that an API test is given to the schema that the OpenAPI document has for it, and to its fields alone."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any, cast

import httpx
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from dovetail.serve.api import card
from dovetail.serve.api.app import create_app
from dovetail.serve.api.served import ServedModel, TextCodec
from dovetail.serve.api.settings import ApiSettings
from dovetail.serve.engine.fake import FakeEngine
from dovetail.serve.govern.card.keeper import CardKeeper


class WrongShape(AssertionError):
    """An answer is not as it is documented."""


@cache
def document() -> dict[str, Any]:
    """Of a server with all its routes."""
    served = ServedModel(name="model", created=0, max_model_len=4096, codec=cast("TextCodec", None))
    app = create_app(FakeEngine(lambda request: ()), served, ApiSettings(docs=True))
    app.include_router(card.routes(cast("CardKeeper", None)))
    return app.openapi()


async def check_answer(response: httpx.Response) -> None:
    """Raise WrongShape for an answer, or an event of a stream, that the document has no shape for."""
    path = response.request.url.path
    if response.status_code != 200 or response.request.method == "HEAD":
        return
    content = shapes(response.request.method.lower(), path)
    media = response.headers.get("content-type", "").partition(";")[0]
    if content is None:
        return
    assert media in content, f"{path} answers {media}, which its documentation does not know"
    if "json" in media and "jsonl" not in media:
        _check(path, content[media], json.loads(await response.aread()))
    elif media == "text/event-stream":
        for event in events(await response.aread()):
            _check(path, content[media], event)


def _check(path: str, shape: Draft202012Validator, answer: Any) -> None:
    error = best_match(shape.iter_errors(answer))
    if error is not None:
        raise WrongShape(f"{path}: {error.json_path}: {error.message[:200]}, in {str(answer)[:500]}")


def events(body: bytes) -> list[Any]:
    """The data of each event but the last word of a stream."""
    told = [line.removeprefix("data: ") for line in body.decode().split("\n") if line.startswith("data: ")]
    return [json.loads(each) for each in told if each != "[DONE]"]


@cache
def shapes(method: str, path: str) -> dict[str, Draft202012Validator] | None:
    """By media type; None: the path is not documented."""
    for template, operations in document()["paths"].items():
        pattern = re.sub(r"{\w+}", "[^/]+", template) if "models/" not in template else "/v1/models/.+"
        if method in operations and re.fullmatch(pattern, path):
            content = operations[method]["responses"].get("200", {}).get("content", {})
            return {media: _validator(each["schema"]) for media, each in content.items()}
    return None


def _validator(schema: dict[str, Any]) -> Draft202012Validator:
    return Draft202012Validator({**schema, "components": {"schemas": _closed(document()["components"]["schemas"])}})


def _closed(schema: Any) -> Any:
    """The same with no room for fields that it does not name."""
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: _closed(part) for name, part in schema.items()}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        closed.setdefault("additionalProperties", False)
    return closed
