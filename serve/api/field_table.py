"""Every request field of every endpoint and what becomes of it: the table behind docs/api.md. Reads schemas, no requests."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel

from dovetail.serve.api.anthropic.body import ContextFields as MessagesContext
from dovetail.serve.api.anthropic.body import MessagesBody
from dovetail.serve.api.batches.batch import BatchBody
from dovetail.serve.api.batches.upload import FIELDS as FILE_FIELDS
from dovetail.serve.api.chat.body import ChatBody
from dovetail.serve.api.completions.endpoints import CompletionBody
from dovetail.serve.api.completions.infill import InfillBody
from dovetail.serve.api.edits.body import EditsBody
from dovetail.serve.api.embeddings import EmbeddingsBody
from dovetail.serve.api.http.fields import IGNORED, NOT_SERVED
from dovetail.serve.api.responses.body import ContextFields as ResponsesContext
from dovetail.serve.api.responses.body import ResponseBody
from dovetail.serve.api.responses.conversations import ConversationBody
from dovetail.serve.api.security.moderations import ModerationBody
from dovetail.serve.api.tokenize import DetokenizeBody, TokenizeBody

Handling = Literal["served", "refused", "ignored"]

_CHAT, _PLAIN, _INFILL = "/v1/chat/completions", "/v1/completions", "/infill"
_RESPONSES = "/v1/responses"
_COUNT, _COMPACT = f"{_RESPONSES}/input_tokens", f"{_RESPONSES}/compact"
_MESSAGES = "/v1/messages"
_COUNT_MESSAGES = f"{_MESSAGES}/count_tokens"


def _names(body: type[BaseModel]) -> tuple[str, ...]:
    return tuple(each.alias or name for name, each in body.model_fields.items())


ENDPOINTS: Mapping[str, Collection[str]] = {
    _CHAT: _names(ChatBody),
    _PLAIN: _names(CompletionBody),
    _RESPONSES: _names(ResponseBody),
    _COUNT: _names(ResponsesContext),
    _COMPACT: sorted(set(_names(ResponseBody)) - {"background", "store", "stream"}),
    "/v1/conversations": _names(ConversationBody),
    _MESSAGES: _names(MessagesBody),
    _COUNT_MESSAGES: _names(MessagesContext),
    "/v1/edits": _names(EditsBody),
    "/v1/embeddings": _names(EmbeddingsBody),
    "/v1/moderations": _names(ModerationBody),
    _INFILL: _names(InfillBody),
    "/tokenize": _names(TokenizeBody),
    "/detokenize": _names(DetokenizeBody),
    "/v1/files": FILE_FIELDS,
    "/v1/batches": _names(BatchBody),
}
"""What each endpoint serves."""

_REFUSED_BY = {
    _CHAT: (),
    _PLAIN: (),
    _INFILL: (),
    **dict.fromkeys((_RESPONSES, _COUNT, _COMPACT, _MESSAGES, _COUNT_MESSAGES), ("suffix",)),
}
"""The endpoints that know NOT_SERVED, less what is not theirs."""

_IGNORED_BY: Mapping[str, Collection[str]] = {
    _CHAT: (
        "user",
        "safety_identifier",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "moderation",
        "verbosity",
        "web_search_options",
    ),
    _PLAIN: ("user",),
    "/v1/embeddings": ("user",),
    _INFILL: ("id_slot", "cache_prompt", "samplers", "t_max_prompt_ms", "response_fields", "repeat_last_n"),
    _RESPONSES: (
        "access_programs",
        "background_options",
        "context_management",
        "image",
        "moderation",
        "prompt_cache_options",
        "prompt_cache_retention",
    ),
    _COUNT: ("personality",),
    _COMPACT: ("image", "prompt_cache_options", "prompt_cache_retention"),
    _COUNT_MESSAGES: (
        "betas",
        "billing_policy",
        "cache_control",
        "compaction",
        "context_management",
        "mcp_servers",
        "speed",
        "user_profile_id",
        "workspace_id",
    ),
    _MESSAGES: (
        "container",
        "mcp_servers",
        "compaction",
        "diagnostics",
        "inference_geo",
        "speed",
        "user_profile_id",
        "workspace_id",
        "betas",
        "billing_policy",
        "fallback_credit_token",
        "fallbacks",
        "thread",
    ),
}

NOTES: Mapping[str, str] = {  # by field, or by endpoint and field
    "background": "made while nobody waits; needs store",
    "/v1/moderations input": "a text, texts, or text parts; pictures are refused by place",
    "/v1/moderations model": "anything: texts are judged by this server's acceptable use policy",
    "/v1/files file": "JSON lines, at most 64 MiB",
    "/v1/files purpose": "batch; others are refused",
    "/v1/files expires_after": "`anchor` created_at, and `seconds`",
    "/v1/conversations items": "like `input` of a response",
    "model": "the served model's name, or an alias of it",
    "messages": "text parts; other parts are refused by place",
    "max_tokens": "at most what the context window leaves: more is clamped",
    "max_completion_tokens": "at most what the context window leaves: more is clamped",
    "max_output_tokens": "at most what the context window leaves: more is clamped",
    "tools": "functions and custom tools; hosted ones are named in `x-dovetail-ignored`",
    "tool_choice": "auto, none, required, one tool, allowed_tools; calls keep to their schema while they are decoded",
    "functions": "the older form of tools",
    "function_call": "the older form of tool_choice",
    "prediction": "drafted from; accepted and rejected tokens are in usage",
    "reasoning_effort": "where the model's template knows it; otherwise named in `x-dovetail-ignored`",
    "dovetail": "`carriers`: false leaves calls of edit tools free to quote text that no file has (docs/edits.md); `security`: the answer's code is scanned (docs/findings.md)",
    f"{_CHAT} edits": "ours: the answer is an edit of these files; an object with the fields of /v1/edits that say which and how (docs/edits.md)",
    "trace": "each token with its origin and probability; in a stream as `edits.tokens` (docs/edits.md)",
    "security": "the answer's code is scanned (docs/findings.md)",
    "store": "kept in memory unless the server is given a file",
    "service_tier": "answered as `default`",
    "timeout": "seconds until the request ends with a 504",
    "cache_salt": "prompts with different salts share no cached prefix",
    "priority": "a lower value runs first",
    "best_of": "the n likeliest by their mean log probability; in a stream it must equal n",
    "echo": "the prompt's text first; not together with logprobs",
    "prompt": "text, texts, token ids, or lists of token ids",
    "suffix": "what stands behind the gap: filled in with the model's own tokens, refused where it has none",
    "input": "text or items; the types of items are listed above",
    "instructions": "a system message at the head; not carried over by previous_response_id",
    "/v1/embeddings input": "a text, texts, token ids or lists of token ids; special tokens in texts are text",
    "dimensions": "the first so many numbers, scaled to length 1 again where the model's vectors are",
    "encoding_format": "float or base64 (little-endian float32)",
    "conversation": "its items come first, and the answer is added to it",
    "include": "`reasoning.encrypted_content`, `message.output_text.logprobs`; others are named in `x-dovetail-ignored`",
    "max_tool_calls": "this server runs no tools itself, so it holds by itself",
    "previous_response_id": "everything up to that response comes first",
    "prompt_cache_key": "repeated in the answer; prefixes are shared wherever they are the same",
    "reasoning": "effort; with a summary wish the thoughts come as summary, otherwise as content",
    "stream_options": "there is no obfuscation to switch off",
    "text": "format: text, json_object or json_schema, enforced; verbosity is named in `x-dovetail-ignored`",
    "truncation": "auto: the oldest turns are left out until the rest fits",
    "cache_control": "accepted anywhere; prefixes are cached by themselves, see `cache_read_input_tokens`",
    "output_config": "effort; format: json_schema, enforced",
    f"{_MESSAGES} max_tokens": "0: the prompt is cached, and nothing is made; at most what the context window leaves",
    "stop_sequences": "at most 16",
    "input_prefix": "the text before the gap",
    "input_suffix": "the text behind it",
    "input_extra": "other pieces of the repository, the most important last; what does not fit is left out, first ones first",
    "filename": "ours: the path of the file with the gap",
    "/infill prompt": "goes on where input_prefix ends",
    "/tokenize prompt": "text (vLLM's form)",
    "/tokenize messages": "as in a chat request (vLLM's form), like all further fields",
    "n_predict": "-1: up to the end; 0: the prompt is cached, and nothing is made",
    "n_indent": "a line indented by less ends the middle, and is not part of it",
    "t_max_predict_ms": "the first line end after so long ends the middle",
    "repeat_penalty": "another name of repetition_penalty",
    "completion_window": "24h, or another time such as 600s, 90m, 7d: then it expires",
    "endpoint": "chat completions, completions, responses, embeddings, moderations or edits",
    "input_file_id": "a file that was uploaded with the purpose batch",
    "output_expires_after": "the output files are deleted so many seconds after they are written",
    "content": "text (llama.cpp's form); no special tokens are added unless `add_special`",
    "add_special_tokens": "for prompt (vLLM's form); true by default",
    "parse_special": "false: what looks like a special token is text",
    "with_pieces": "tokens as objects with `id` and `piece`, the bytes where a piece is no text",
    "return_token_strs": "adds `token_strs`",
    "system": "text or blocks of text",
    "thinking": "without it no thinking blocks; `display: omitted` gives the signature alone",
}


@dataclass(frozen=True)
class Field:
    """One field of one endpoint."""

    name: str
    handling: Handling
    note: str


def fields_of(endpoint: str) -> list[Field]:
    """The table of one endpoint, by handling, then by name."""
    served = sorted(ENDPOINTS[endpoint])
    refused = sorted(set(NOT_SERVED) - set(served) - set(_REFUSED_BY[endpoint])) if endpoint in _REFUSED_BY else []
    ignored = sorted(set(_IGNORED_BY.get(endpoint, ())) - set(served))
    return [
        *(Field(name, "served", NOTES.get(f"{endpoint} {name}", NOTES.get(name, ""))) for name in served),
        *(Field(name, "refused", "unless its value asks for nothing") for name in refused),
        *(Field(name, "ignored", IGNORED[name]) for name in ignored),
    ]
