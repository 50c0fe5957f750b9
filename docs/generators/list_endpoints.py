"""Writes http-api.md, the reference of every endpoint, and http-objects.md, what they take and answer, from the server's own OpenAPI document.

python docs/generators/list_endpoints.py            write the pages
python docs/generators/list_endpoints.py --check    exit 1 if they are not up to date
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from fastapi import FastAPI
from generated import DOCS, NOTE, cell, code, keep

from dovetail.serve.api import card
from dovetail.serve.api.app import create_app
from dovetail.serve.api.field_table import ENDPOINTS, fields_of
from dovetail.serve.api.operations import OPERATIONS, Operation
from dovetail.serve.api.served import ServedModel, TextCodec
from dovetail.serve.api.settings import ApiSettings
from dovetail.serve.engine.fake import FakeEngine
from dovetail.serve.errors import DovetailError
from dovetail.serve.govern.card.keeper import CardKeeper

HEAD = """# HTTP API reference

{note}
Every path, from the server's own OpenAPI document, which `dovetail serve --docs` shows at `/openapi.json`, with a page at `/docs`. What lies
behind the endpoints is told in [api.md](api.md) and [edits.md](edits.md); credentials and scopes in [access.md](access.md).

Where keys are asked for, every path needs one but those marked *open*: `Authorization: Bearer KEY` or `x-api-key: KEY`. The key's
scopes have to allow the path (`--endpoint`), the model (`--model`) and offered tools (`--tool`); paths marked *admin* need an administrator's
key. The administrators' own port is described in [access.md](access.md#administrators), the console's endpoints are its own affair.

Below: *served* fields do what they say; fields that are refused or ignored are listed in [api.md](api.md#request-fields).
"""

OBJECTS = """# HTTP API objects

{note}
What the endpoints of the [HTTP API](http-api.md) take and answer, by name. Of what is sent, *always* says that a field is in each answer; the
others are there where they have something to say. Clients do well to pass over fields that they do not know.
"""

STATUSES = """
## Errors

```json
{"error": {"message": "what is wrong, and what to do", "type": "invalid_request_error", "param": "messages[2].content", "code": "invalid_value"}}
```

`/v1/messages` answers `{"type": "error", "error": {"type": ..., "message": ...}}`. A failure in the middle of a stream is told as an event
([api.md](api.md)).

| status | when | send it again? |
|---|---|---|
| 400 | the request is at fault; `param` names the place | no |
| 401 | no credential, or one that is unknown, expired or revoked | with a credential |
| 403 | the credential's scopes do not allow it; for administrators only | no |
| 404, 405 | no such path, model or object; no such method | no |
| 408 | the body came too slowly | yes |
| 409 | it is being changed, or is in use | later |
| 413, 431 | the body is too large; the head is | no |
| 415 | the body has a form or an encoding that is not read | no |
| 422 | edits that do not fit, or that the policy refuses | no |
| 426 | a WebSocket was asked for | over HTTP |
| 429 | a quota, or a full queue; `retry-after` says when | later |
| 500 | a fault of the server; the log has it under the answer's `x-request-id` | perhaps |
| 503 | loading, draining, the engine was restarted, keys or audit log cannot be written | later |
| 504 | the request's own `timeout` is over | with more time |

### Codes

| code | status |
|---|---|
"""

ELSEWHERE = {
    "Error": "http-api.md#errors",
    "MessagesError": "http-api.md#errors",
    "SystemCard": "system-card.md",
    "CycloneDX": "https://cyclonedx.org/docs/1.6/json/",
    "SARIF": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html",
    "JSONSchema": "https://json-schema.org/specification",
}
"""Where a shape is told that is no object of http-objects.md."""

_DEFAULT_STATUS = {"refuse": 400}


def application() -> FastAPI:
    """The application as it is served, with nothing behind it."""
    served = ServedModel(name="model", created=0, max_model_len=4096, codec=cast("TextCodec", None))
    app = create_app(FakeEngine(lambda request: ()), served, ApiSettings(docs=True))
    app.include_router(card.routes(cast("CardKeeper", None)))
    return app


def kind(schema: Mapping[str, Any]) -> str:
    """A schema in a word or two, other objects as links."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return f"[{name}]({ELSEWHERE.get(name, f'http-objects.md#{name.lower()}')})"
    if "enum" in schema:
        return ", ".join(code(each) for each in schema["enum"])
    if "const" in schema:
        return code(schema["const"])
    for together in ("anyOf", "oneOf"):
        if together in schema:
            kinds = [kind(each) for each in schema[together] if each.get("type") != "null"]
            return " or ".join(dict.fromkeys(kinds))
    if schema.get("type") == "array":
        return f"list of {kind(schema.get('items', {}))}"
    if isinstance(schema.get("additionalProperties"), dict):
        return f"object of {kind(schema['additionalProperties'])}"
    bounds = [f"{words} {schema[key]:,}" for key, words in _BOUNDS.items() if key in schema]
    word = schema.get("type", "any value")
    return ", ".join([word if isinstance(word, str) else " or ".join(word), *bounds])


_BOUNDS = {
    "minimum": "at least",
    "exclusiveMinimum": "above",
    "maximum": "at most",
    "exclusiveMaximum": "below",
    "maxLength": "length at most",
}


def fields(schema: Mapping[str, Any], notes: Mapping[str, str], *, sent: bool = False) -> str:
    """The table of an object's fields; those that ``notes`` leaves out are not served. ``sent``: by the server."""
    required = schema.get("required", ())
    rows = []
    properties = schema.get("properties", {})
    for name in sorted(properties, key=lambda name: name not in required):
        each = properties[name]
        if notes and name not in notes:
            continue
        given = each.get("default")
        default = (
            ("always" if sent else "required")
            if name in required
            else ""
            if given is None
            else code(str(given).lower() if isinstance(given, bool) else given)
        )
        note = notes.get(name) or each.get("description", "")
        empty = " or null" if sent and name in required and {"type": "null"} in each.get("anyOf", ()) else ""
        rows.append(f"| {code(name)} | {cell(kind(each))}{empty} | {default} | {cell(note)} |\n")
    return f"\n| field | type | {'' if sent else 'default'} | |\n|---|---|---|---|\n" + "".join(rows) if rows else ""


def operation(method: str, path: str, known: Operation, plain: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    """One method of one path."""
    marks = " *Open.*" if known.is_open else " *Admin.*" if known.admin else ""
    parts = [f"\n### {method.upper()} {path}\n\n{known.summary}.{marks}\n"]
    rows = [
        f"| {code(each['name'])} | {each['in']} | {cell(each.get('description', ''))} |\n"
        for each in plain["parameters"]
    ]
    if rows:
        parts.append("\n| parameter | in | |\n|---|---|---|\n" + "".join(rows))
    body = plain.get("requestBody", {}).get("content", {})
    for media, content in body.items():
        schema = content["schema"]
        if "$ref" in schema:
            schema = schemas[schema["$ref"].rsplit("/", 1)[1]]
        notes = (
            {each.name: each.note for each in fields_of(path) if each.handling == "served"} if path in ENDPOINTS else {}
        )
        parts.append(f"\nBody: `{media}`.\n{fields(schema, notes)}")
    parts.append(f"\nAnswers {known.answer}{answers(plain['responses'])}.\n")
    return "".join(parts)


def answers(responses: Mapping[str, Any]) -> str:
    """The shapes of an answer that is no error, in brackets."""
    told = []
    for media, content in responses.get("200", {}).get("content", {}).items():
        shape = kind(content["schema"])
        each = ", each event's data" if media == "text/event-stream" else ""
        told.append(code(media) if shape == "string" else f"{code(media)}{each}: {shape}")
    return f" ({'; '.join(told)})" if told else ""


def reachable(shape: Any, schemas: Mapping[str, Any]) -> set[str]:
    """The objects that a part of the document refers to, directly or not."""
    found: set[str] = set()
    waiting = [shape]
    while waiting:
        part = waiting.pop()
        if isinstance(part, list):
            waiting += part
        elif isinstance(part, Mapping):
            waiting += part.values()
            name = str(part.get("$ref", "")).rsplit("/", 1)[-1]
            if name and name not in found:
                found.add(name)
                waiting.append(schemas[name])
    return found


def objects(document: Mapping[str, Any]) -> str:
    """The objects that bodies and answers refer to; bodies themselves stand with their operations."""
    schemas = document["components"]["schemas"]
    operations = [each for methods in document["paths"].values() for each in methods.values()]
    bodies = [each.get("requestBody", {}) for each in operations]
    whole = {
        each["schema"].get("$ref", "").rsplit("/", 1)[-1]
        for body in bodies
        for each in body.get("content", {}).values()
    }
    sent = reachable([each["responses"].get("200") for each in operations], schemas)
    parts = [OBJECTS.format(note=NOTE.format(script="list_endpoints.py"))]
    for name in sorted((reachable(bodies, schemas) | sent) - whole - set(ELSEWHERE)):
        about = " ".join(schemas[name].get("description", "").split())
        table = fields(schemas[name], {}, sent=name in sent) or f"\n{cell(kind(schemas[name]))}\n"
        parts.append(f"\n## {name}\n{f'{chr(10)}{about}{chr(10)}' if about else ''}{table}")
    return "".join(parts)


def codes() -> str:
    """Every code that the server's source gives an error, with its statuses."""
    found: dict[str, set[int]] = {}
    statuses = {each.__name__: (each.default_status, each.default_code) for each in _tree(DovetailError)}
    for path in sorted((DOCS.parent / "serve").rglob("*.py")):
        for name, status in _raised(path, statuses):
            found.setdefault(name, set()).add(status)
    return "".join(f"| {code(name)} | {', '.join(map(str, sorted(found[name])))} |\n" for name in sorted(found))


def _tree(root: type[DovetailError]) -> Iterator[type[DovetailError]]:
    yield root
    for below in root.__subclasses__():
        yield from _tree(below)


def _raised(path: Path, statuses: Mapping[str, tuple[int, str]]) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        given = {each.arg: each.value.value for each in node.keywords if isinstance(each.value, ast.Constant)}
        if called in statuses and called not in ("ConfigError", "ModelError"):
            status, name = statuses[called]
            yield str(given.get("code", name)), int(given.get("status", status))
        elif called in _DEFAULT_STATUS and "code" in given:
            yield str(given["code"]), int(given.get("status", _DEFAULT_STATUS[called]))


def text(document: Mapping[str, Any]) -> str:
    """The page of endpoints."""
    tags: dict[str, list[str]] = {}
    for (method, path), known in OPERATIONS.items():
        plain = document["paths"][path][method]
        shown = operation(method, path, known, plain, document["components"]["schemas"])
        tags.setdefault(known.tag, []).append(shown)
    parts = [f"\n## {tag}\n{''.join(shown)}" for tag, shown in tags.items()]
    return HEAD.format(note=NOTE.format(script="list_endpoints.py")) + "".join(parts) + STATUSES + codes()


if __name__ == "__main__":
    whole = application().openapi()
    sys.exit(keep("http-api.md", text(whole)) | keep("http-objects.md", objects(whole)))
