"""From the bytes of a request to a checked wire object: size, encoding, JSON, schema. Knows no endpoint."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any, NoReturn, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from dovetail.serve.errors import UserError

Wire = TypeVar("Wire", bound=BaseModel)

DISCARD_FACTOR = 16
"""A body over the limit is read on, and thrown away, up to this many times the limit: a client that is still sending
does not look at the answer."""

MAX_DEPTH = 128
"""Levels of a body's JSON: what templates and schemas are walked with is recursive."""

MAX_CONTAINERS = 50_000
"""Objects and lists of a body. What becomes of them is worked out where all requests wait; a hundred thousand messages of one
letter took two seconds there (benchmarks/request_fuzz.py). Long lists of numbers or texts count as one."""

_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


async def read_body(request: Request, limit: int) -> bytes:
    """The body, never holding more than ``limit`` bytes of it; a UserError 413 if there are more."""
    declared = request.headers.get("content-length", "")
    too_large = declared.isdecimal() and int(declared) > limit
    if too_large and "expect" in request.headers:
        refuse_size(limit)
    body = bytearray()
    seen = 0
    async for chunk in request.stream():
        seen += len(chunk)
        if too_large or seen > limit:
            too_large = True
            body.clear()
            if seen > limit * DISCARD_FACTOR:
                break
        else:
            body += chunk
    if too_large:
        refuse_size(limit)
    return bytes(body)


def refuse_size(limit: int) -> NoReturn:
    """Raise the 413 that says the limit."""
    raise UserError(f"The request body is larger than the limit of {limit} bytes.", status=413, code="body_too_large")


def parse_object(body: bytes) -> dict[str, Any]:
    """The JSON object in ``body``: valid UTF-8, no NaN, no lone surrogates."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"The body is not valid UTF-8 (byte {error.start}).", code="invalid_utf8") from error
    try:
        value = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise UserError(f"The body is not valid JSON: {error.msg} ({where}).", code="invalid_json") from error
    except RecursionError as error:
        raise UserError("The body is nested too deeply.", code="invalid_json") from error
    except ValueError as error:  # a number of more digits than Python converts
        raise UserError(f"The body is not usable JSON: {error}.", code="invalid_json") from error
    if not isinstance(value, dict):
        raise UserError("The body must be a JSON object.", code="invalid_json")
    _check_shape(value)
    if _SURROGATE_ESCAPE.search(text):
        _refuse_lone_surrogates(value)
    return value


async def read_object(request: Request, limit: int) -> dict[str, Any]:
    """The request's JSON object."""
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.lower() != "identity":
        raise UserError(
            f"Compressed bodies ({encoding}) are not read; send the JSON as it is.",
            code="unsupported_encoding",
            param="content-encoding",
        )
    return parse_object(await read_body(request, limit))


def check(schema: type[Wire], value: dict[str, Any]) -> Wire:
    """``value`` as ``schema``, or a UserError that names the first field at fault."""
    try:
        return schema.model_validate(value)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False)
        unknown = [path_of(each["loc"]) for each in errors if each["type"] == "extra_forbidden"]
        if unknown:
            names = ", ".join(unknown)
            raise UserError(f"Unknown field: {names}.", code="unknown_field", param=unknown[0]) from error
        first = errors[0]
        path = path_of(first["loc"])
        if first["type"] == "missing":
            raise UserError(f"{path} is required.", code="missing_field", param=path) from error
        wording = _WORDING.get(first["type"], "")
        message = f"{path} {wording.format(**first.get('ctx', {}))}" if wording else f"{path}: {first['msg']}"
        raise UserError(f"{message}.", code="invalid_value", param=path) from error


_WORDING = {
    "too_short": "must hold at least {min_length}",
    "too_long": "may hold at most {max_length}",
    "list_type": "must be a list",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "string_type": "must be a string",
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be one of {expected}",
}
"""pydantic's kinds of error in our words, with the values of its context."""


def path_of(location: Sequence[int | str]) -> str:
    """``("messages", 2, "content")`` as ``messages[2].content``."""
    path = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part != "[key]":
            path += f".{part}" if path else part
    return path


def _refuse_constant(name: str) -> NoReturn:
    raise UserError(f"The body is not valid JSON: {name} is not a JSON number.", code="invalid_json")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise UserError(f"The body is not usable JSON: {text[:40]} is too large for a number.", code="invalid_json")
    return value


def _check_shape(value: dict[str, Any]) -> None:
    level: list[Any] = [value]
    count = 0
    for _ in range(MAX_DEPTH):
        count += len(level)
        if count > MAX_CONTAINERS:
            raise UserError(f"The body holds more than {MAX_CONTAINERS} objects and lists.", code="invalid_json")
        level = [
            item
            for outer in level
            for item in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(item, dict | list)
        ]
        if not level:
            return
    raise UserError(f"The body is nested more than {MAX_DEPTH} levels deep.", code="invalid_json")


def _refuse_lone_surrogates(value: dict[str, Any]) -> None:
    pending: list[tuple[str, Any]] = [("", value)]
    while pending:
        path, item = pending.pop()
        if isinstance(item, str):
            if any("\ud800" <= char <= "\udfff" for char in item):
                path = path.encode("utf-8", "backslashreplace").decode()
                raise UserError(f"{path} holds half of a surrogate pair.", code="invalid_unicode", param=path)
        elif isinstance(item, list):
            pending.extend((f"{path}[{index}]", each) for index, each in enumerate(item))
        elif isinstance(item, dict):
            pending.extend((f"{path}.{key}" if path else str(key), each) for key, each in item.items())
            pending.extend((path or "the body", key) for key in item)
