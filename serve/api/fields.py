"""Fields beyond a schema: refused by name if they would change the result, otherwise ignored and named. Reads no value twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel

from dovetail.serve.errors import UserError

Harmless = Callable[[Any], bool]


def _empty(value: Any) -> bool:
    return not value


def _text_only(value: Any) -> bool:
    return value == ["text"] or not value


def _free_choice(value: Any) -> bool:
    return value in ("auto", "none")


def _is(expected: object) -> Harmless:
    return lambda value: value == expected


NOT_SERVED: Mapping[str, Harmless] = {
    "tool_choice": _free_choice,
    "function_call": _free_choice,
    "prediction": _empty,
    "audio": _empty,
    "modalities": _text_only,
    "suffix": _empty,
    "use_beam_search": _empty,
    "prompt_logprobs": _empty,
    "bad_words": _empty,
    "allowed_token_ids": _empty,
    "typical_p": _is(1),
    "mirostat": _empty,
    "chat_template": _empty,
    "chat_template_kwargs": _empty,
    "continue_final_message": _empty,
    "add_generation_prompt": _is(True),
    "guided_json": _empty,
    "guided_regex": _empty,
    "guided_choice": _empty,
    "guided_grammar": _empty,
    "structured_outputs": _empty,
    "ebnf": _empty,
    "json_schema": _empty,
}
"""Fields that would change the result and are not served, each with the test for a value that asks for nothing."""


def ignored_fields(body: BaseModel, *also: str) -> list[str]:
    """The names, in order, of extra fields that ask for nothing we do; a UserError for one that must not be ignored."""
    ignored = list(also)
    for name, value in (body.model_extra or {}).items():
        if value is None:
            continue
        harmless = NOT_SERVED.get(name)
        if harmless is None:
            ignored.append(name)
        elif not harmless(value):
            raise not_available(name)
    return ignored


def not_available(name: str, reason: str = "") -> UserError:
    """The refusal of a field that changes the result."""
    return UserError(
        f"{name} is not available on this server with this value{reason}; leave it out.",
        code="unsupported_parameter",
        param=name,
    )
