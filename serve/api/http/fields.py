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


def _plain_text(value: Any) -> bool:
    return not value or value == {"type": "text"}


def _is(expected: object) -> Harmless:
    return lambda value: value == expected


NOT_SERVED: Mapping[str, Harmless] = {
    "audio": _empty,
    "modalities": _text_only,
    "suffix": _empty,
    "use_beam_search": _empty,
    "prompt_logprobs": _empty,
    "bad_words": _empty,
    "allowed_token_ids": _empty,
    "typical_p": _is(1),
    "mirostat": _empty,
    "xtc_probability": _empty,
    "dry_multiplier": _empty,
    "dynatemp_range": _empty,
    "n_probs": _empty,
    "lora": _empty,
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
    "response_format": _plain_text,
    "regex": _empty,
    "grammar": _empty,
    "choice": _empty,
    "edits": _empty,
    "prompt": _empty,
}
"""Fields that would change the result and are not served, each with the test for a value that asks for nothing.
Endpoints that do serve one have it in their schema."""

IGNORED: Mapping[str, str] = {
    "user": "a label of the client's",
    "safety_identifier": "a label of the client's",
    "prompt_cache_key": "prefixes are shared wherever they are the same; cache_salt keeps them apart",
    "prompt_cache_options": "prefixes are kept as long as there is room",
    "prompt_cache_retention": "prefixes are kept as long as there is room",
    "moderation": "what is declined is this server's policy, and holds anyway",
    "personality": "open models have no such setting; say it in a message",
    "verbosity": "open models have no such setting; say it in a message",
    "web_search_options": "this server runs no tools itself",
    "access_programs": "there are none here",
    "background_options": "the defaults apply",
    "image": "text models make no images",
    "container": "this server runs no code",
    "mcp_servers": "this server runs no tools itself",
    "compaction": "clients compact by themselves",
    "context_management": "the client's history is taken as it is",
    "diagnostics": "there are none beyond /metrics",
    "inference_geo": "it runs where this server runs",
    "speed": "there is one",
    "user_profile_id": "there are no accounts here",
    "workspace_id": "there are no accounts here",
    "cache_control": "prefixes are cached by themselves",
    "betas": "a header of the client's",
    "billing_policy": "nothing is billed here",
    "fallback_credit_token": "nothing is billed here",
    "fallbacks": "there is one model",
    "id_slot": "there are no slots here",
    "cache_prompt": "prefixes are shared wherever they are the same",
    "samplers": "their order is fixed",
    "t_max_prompt_ms": "a prompt is computed whole; timeout ends the request",
    "response_fields": "the whole answer is sent",
    "repeat_last_n": "penalties look at the whole text",
    "thread": "the whole conversation is in every request",
}
"""Known fields that change nothing here, each with the reason; unknown ones are treated alike."""


def ignored_fields(body: BaseModel, *also: str) -> list[str]:
    """The names, in order, of extra fields that ask for nothing we do, also inside objects (``reasoning.context``); a UserError
    for one that must not be ignored."""
    ignored = list(also)
    for name in extra_fields(body):
        harmless = NOT_SERVED.get(name)
        if harmless is None:
            ignored.append(name)
        elif not harmless((body.model_extra or {})[name]):
            raise not_available(name)
    return ignored


def extra_fields(body: BaseModel) -> list[str]:
    """The paths of all fields that have a value and that the schema does not know: its own, then those of objects in it."""
    own = [name for name, value in (body.model_extra or {}).items() if value is not None]
    inside = [
        f"{field.alias or name}.{extra}"
        for name, field in type(body).model_fields.items()
        if isinstance(value := getattr(body, name), BaseModel)
        for extra in extra_fields(value)
    ]
    return own + inside


def not_available(name: str, reason: str = "") -> UserError:
    """The refusal of a field that changes the result."""
    return UserError(
        f"{name} is not available on this server with this value{reason}; leave it out.",
        code="unsupported_parameter",
        param=name,
    )
