"""The lines of a batch: requests read from its file, and the entries of its output files. Asks nobody."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from dovetail.serve.api.http.body import parse_object
from dovetail.serve.api.ids import fresh
from dovetail.serve.errors import UserError

MOST_LINES = 50_000
MOST_ERRORS = 100
"""How many unusable lines are told."""

MAX_ID = 512

LineError = dict[str, Any]


@dataclass(frozen=True)
class Line:
    """A request; ``number`` counts from 1, ``text`` is the whole line."""

    number: int
    custom_id: str
    text: str

    @property
    def body(self) -> dict[str, Any]:
        """What is to be sent."""
        return parse_object(self.text.encode())["body"]  # type: ignore[no-any-return]


def read_lines(text: str, endpoint: str) -> tuple[list[Line], list[LineError]]:
    """The requests in a file, or else what makes it unusable, by line."""
    lines: list[Line] = []
    errors: list[LineError] = []
    seen: set[str] = set()
    for number, written in enumerate(text.split("\n"), 1):
        if not written.strip():
            continue
        if len(lines) == MOST_LINES:
            errors.append(_error("too_many_lines", f"A batch has at most {MOST_LINES} requests.", number))
            break
        try:
            custom_id = _custom_id(parse_object(written.encode()), endpoint)
        except UserError as error:
            errors.append(_error(error.code, error.message, number, error.param))
        else:
            if custom_id in seen:
                errors.append(
                    _error("duplicate_custom_id", f"custom_id {custom_id!r} is not unique.", number, "custom_id")
                )
            seen.add(custom_id)
            lines.append(Line(number, custom_id, written))
        if len(errors) == MOST_ERRORS:
            break
    if not lines and not errors:
        errors.append(_error("empty_file", "The file has no requests.", None))
    return lines, errors


def _custom_id(value: dict[str, Any], endpoint: str) -> str:
    custom_id = value.get("custom_id")
    if not isinstance(custom_id, str) or not 0 < len(custom_id) <= MAX_ID:
        raise UserError(
            f"custom_id must be a string of 1 to {MAX_ID} characters.", code="invalid_value", param="custom_id"
        )
    if value.get("method") != "POST":
        raise UserError("method must be POST.", code="invalid_method", param="method")
    if value.get("url") != endpoint:
        raise UserError(f"url must be the batch's endpoint, {endpoint}.", code="invalid_url", param="url")
    if not isinstance(value.get("body"), dict):
        raise UserError("body must be an object.", code="invalid_value", param="body")
    return custom_id


def _error(code: str, message: str, line: int | None, param: str | None = None) -> LineError:
    return {"code": code, "message": message, "line": line, "param": param}


def answered(line: Line, status: int, request_id: str, body: Any, ignored: str = "") -> dict[str, Any]:
    """The entry of a request that was answered, well or not; ``ignored`` names its fields that changed nothing."""
    response = {"status_code": status, "request_id": request_id, "body": body}
    if ignored:
        response["ignored"] = ignored
    return {"id": fresh("batch_req"), "custom_id": line.custom_id, "response": response, "error": None}


def unanswered(line: Line, code: str, message: str) -> dict[str, Any]:
    """The entry of a request that was not answered."""
    error = {"code": code, "message": message}
    return {"id": fresh("batch_req"), "custom_id": line.custom_id, "response": None, "error": error}


def usage_of(entries: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Tokens of all answers together, whichever protocol they were counted in."""
    usages: Sequence[dict[str, Any]] = [entry["response"]["body"].get("usage") or {} for entry in entries]
    read = sum(_first(each, "prompt_tokens", "input_tokens") for each in usages)
    written = sum(_first(each, "completion_tokens", "output_tokens") for each in usages)
    cached = sum(
        _first(_part(each, "prompt_tokens_details", "input_tokens_details"), "cached_tokens") for each in usages
    )
    reasoned = sum(
        _first(_part(each, "completion_tokens_details", "output_tokens_details"), "reasoning_tokens") for each in usages
    )
    return {
        "input_tokens": read,
        "input_tokens_details": {"cached_tokens": cached},
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": reasoned},
        "total_tokens": read + written,
    }


def _part(usage: dict[str, Any], *names: str) -> dict[str, Any]:
    return next((usage[name] for name in names if isinstance(usage.get(name), dict)), {})


def _first(usage: dict[str, Any], *names: str) -> int:
    return next((usage[name] for name in names if isinstance(usage.get(name), int)), 0)
