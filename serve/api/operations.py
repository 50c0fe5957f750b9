"""What each endpoint does, takes in its query and answers: the words of the OpenAPI document and of docs/http-api.md. Serves nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

JSON = "application/json"
EVENTS = "text/event-stream"
TEXT = "text/plain"
SARIF = "application/sarif+json"
CARD_SCHEMA = "application/schema+json"
CYCLONEDX = "application/vnd.cyclonedx+json"

_PAGE = {
    "limit": "how many, 20 unless told",
    "order": "`asc` or `desc`, by time",
    "after": "the id behind which the page begins",
}
_FORMAT = {"format": "`json`, `markdown`, `html`, `blocks`, `cyclonedx` or `dsse`; without it, as `accept` asks"}


@dataclass(frozen=True)
class Operation:
    """One method of one path.

    ``query``: parameters and their meaning. ``media``: the types of an answer that is no error; none: it is always one.
    ``admin``: administrators only. ``is_open``: needs no credential anywhere. ``tag``: the heading that it stands under.
    """

    tag: str
    summary: str
    answer: str
    query: Mapping[str, str] = field(default_factory=dict)
    media: tuple[str, ...] = (JSON,)
    admin: bool = False
    is_open: bool = False


_STREAMED = (JSON, EVENTS)
_CONVERSATION = "/v1/conversations/{conversation_id}"

OPERATIONS: Mapping[tuple[str, str], Operation] = {
    ("post", "/v1/edits"): Operation(
        "Edits",
        "Change files as an instruction says; every edit fits and parses",
        "edits, changed files, a patch, and what the constraint did; or events",
        media=_STREAMED,
    ),
    ("post", "/v1/edits/apply"): Operation(
        "Edits", "Apply edits that were written elsewhere: exactly, or not at all", "edits, files and patch"
    ),
    ("post", "/v1/chat/completions"): Operation(
        "Chat Completions",
        "Answer a conversation; with tools, structured output, or edits that fit",
        "a chat completion, or its chunks",
        media=_STREAMED,
    ),
    ("get", "/v1/chat/completions"): Operation(
        "Chat Completions",
        "List stored completions",
        "a list",
        {**_PAGE, "model": "of this model alone", "metadata[KEY]": "with this value alone"},
    ),
    ("get", "/v1/chat/completions/{id}"): Operation("Chat Completions", "A stored completion", "the completion"),
    ("post", "/v1/chat/completions/{id}"): Operation(
        "Chat Completions", "Change the metadata of a stored completion", "the completion"
    ),
    ("delete", "/v1/chat/completions/{id}"): Operation(
        "Chat Completions", "Delete a stored completion", "its id, and `deleted`"
    ),
    ("get", "/v1/chat/completions/{id}/messages"): Operation(
        "Chat Completions", "The messages of a stored completion", "a list", _PAGE
    ),
    ("post", "/v1/responses"): Operation(
        "Responses", "Answer text or items", "a response, or its events", media=_STREAMED
    ),
    ("get", "/v1/responses"): Operation(
        "Responses", "WebSockets are declined: clients go on over HTTP", "426", media=()
    ),
    ("post", "/v1/responses/input_tokens"): Operation("Responses", "Count the tokens of an input", "`input_tokens`"),
    ("post", "/v1/responses/compact"): Operation(
        "Responses", "Make a long conversation short", "the user's messages and a compaction item"
    ),
    ("get", "/v1/responses/{response_id}"): Operation(
        "Responses",
        "A stored response; or the events of one made in the background",
        "the response, or its events",
        {"stream": "`true`: its events", "starting_after": "the number of the event behind which they begin"},
        _STREAMED,
    ),
    ("delete", "/v1/responses/{response_id}"): Operation(
        "Responses", "Delete a stored response", "its id, and `deleted`"
    ),
    ("post", "/v1/responses/{response_id}/cancel"): Operation(
        "Responses", "End a response that is made in the background", "the response"
    ),
    ("get", "/v1/responses/{response_id}/input_items"): Operation(
        "Responses", "The items that a response was asked with", "a list", _PAGE
    ),
    ("post", "/v1/conversations"): Operation("Conversations", "Begin a conversation", "the conversation"),
    ("get", _CONVERSATION): Operation("Conversations", "A conversation", "the conversation"),
    ("post", _CONVERSATION): Operation("Conversations", "Change a conversation's metadata", "the conversation"),
    ("delete", _CONVERSATION): Operation("Conversations", "Delete a conversation", "its id, and `deleted`"),
    ("get", f"{_CONVERSATION}/items"): Operation("Conversations", "The items of a conversation", "a list", _PAGE),
    ("post", f"{_CONVERSATION}/items"): Operation("Conversations", "Add items to a conversation", "a list of them"),
    ("get", _CONVERSATION + "/items/{item_id}"): Operation("Conversations", "One item", "the item"),
    ("delete", _CONVERSATION + "/items/{item_id}"): Operation("Conversations", "Delete one item", "the conversation"),
    ("post", "/v1/messages"): Operation(
        "Messages", "Answer a conversation, in Anthropic's protocol", "a message, or its events", media=_STREAMED
    ),
    ("post", "/v1/messages/count_tokens"): Operation(
        "Messages", "Count the tokens of a conversation", "`input_tokens`"
    ),
    ("post", "/v1/completions"): Operation(
        "Completions",
        "Go on where a prompt ends, or fill a gap (`suffix`)",
        "a completion, or its chunks",
        media=_STREAMED,
    ),
    ("post", "/infill"): Operation(
        "Completions",
        "Fill in the middle, as plug-ins for llama.cpp ask",
        "`content`, counts and timings; or events",
        media=_STREAMED,
    ),
    ("post", "/v1/embeddings"): Operation("Embeddings and tokens", "Vectors of texts", "a list of embeddings"),
    ("post", "/tokenize"): Operation(
        "Embeddings and tokens", "The tokens of a text or a conversation", "`tokens`, `count`, `max_model_len`"
    ),
    ("post", "/detokenize"): Operation(
        "Embeddings and tokens", "The text of tokens", "`content` and `prompt`: the text"
    ),
    ("post", "/v1/files"): Operation("Files and batches", "Upload a file of requests", "the file"),
    ("get", "/v1/files"): Operation(
        "Files and batches", "List files", "a list", {**_PAGE, "purpose": "of this purpose alone"}
    ),
    ("get", "/v1/files/{id}"): Operation("Files and batches", "A file's description", "the file"),
    ("delete", "/v1/files/{id}"): Operation("Files and batches", "Delete a file", "its id, and `deleted`"),
    ("get", "/v1/files/{id}/content"): Operation(
        "Files and batches", "What a file holds", "its lines", media=("application/jsonl",)
    ),
    ("post", "/v1/batches"): Operation("Files and batches", "Run a file of requests while nobody waits", "the batch"),
    ("get", "/v1/batches"): Operation("Files and batches", "List batches", "a list", _PAGE),
    ("get", "/v1/batches/{id}"): Operation("Files and batches", "How far a batch is", "the batch"),
    ("post", "/v1/batches/{id}/cancel"): Operation(
        "Files and batches", "End a batch; it keeps the answers it has", "the batch"
    ),
    ("post", "/v1/security/scan"): Operation(
        "Security", "Look for insecure code in files; asks no model", "findings, or SARIF", media=(JSON, SARIF)
    ),
    ("post", "/v1/moderations"): Operation("Security", "Judge texts by the acceptable use policy", "OpenAI's shape"),
    ("get", "/v1/models"): Operation(
        "Models", "What is served, in OpenAI's, Codex's or Anthropic's form", "`data` and `models`"
    ),
    ("get", "/v1/models/{name}"): Operation("Models", "One model", "the model"),
    ("post", "/v1/load_lora_adapter"): Operation("Models", "Load an adapter", "a sentence", media=(TEXT,), admin=True),
    ("post", "/v1/unload_lora_adapter"): Operation(
        "Models", "Unload an adapter", "a sentence", media=(TEXT,), admin=True
    ),
    ("get", "/v1/system-card"): Operation(
        "The system card",
        "What runs here, measured here",
        "the card",
        _FORMAT,
        (JSON, CYCLONEDX, "text/markdown", "text/html"),
    ),
    ("get", "/v1/system-card/schema"): Operation(
        "The system card", "The JSON schema of a card", "the schema", media=(CARD_SCHEMA,)
    ),
    ("get", "/v1/system-card/history"): Operation("The system card", "Earlier cards", "a list"),
    ("get", "/v1/system-card/{name}"): Operation(
        "The system card",
        "An earlier card, by its fingerprint",
        "the card",
        _FORMAT,
        (JSON, CYCLONEDX, "text/markdown", "text/html"),
    ),
    ("get", "/health"): Operation("Health", "The server lives", "`status`, `version`", is_open=True),
    ("get", "/ready"): Operation(
        "Health",
        "All models are loaded, and requests are taken; otherwise 503",
        "`status`; the models, where no keys are asked for",
        is_open=True,
    ),
    ("get", "/metrics"): Operation("Health", "Prometheus' text format", "metrics", media=(TEXT,)),
}
"""Every operation that clients may rely on. A route without a line here fails a test."""

ERROR = {
    "type": "object",
    "description": "OpenAI's error body. `param` is the path of the field at fault, `code` a stable word.",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}
MESSAGES_ERROR = {
    "type": "object",
    "description": "Anthropic's error body.",
    "required": ["type", "error"],
    "properties": {
        "type": {"const": "error"},
        "error": {
            "type": "object",
            "required": ["type", "message"],
            "properties": {"type": {"type": "string"}, "message": {"type": "string"}},
        },
        "request_id": {"type": "string"},
    },
}


def described(
    method: str, path: str, plain: Mapping[str, Any], content_of: Callable[[str, str, tuple[str, ...]], dict[str, Any]]
) -> dict[str, Any]:
    """An operation of the document, in words: summary, query, answers, credentials. ``content_of``: the shapes of its answers."""
    known = OPERATIONS.get((method, path))
    if known is None:
        return dict(plain)
    query = [
        {"name": name, "in": "query", "required": False, "description": meaning, "schema": {"type": "string"}}
        for name, meaning in known.query.items()
    ]
    in_path = [each for each in plain.get("parameters", []) if each["in"] != "query"]
    failed = "MessagesError" if path.startswith("/v1/messages") else "Error"
    error = {JSON: {"schema": {"$ref": f"#/components/schemas/{failed}"}}}
    given = {"200": {"description": known.answer, "content": content_of(method, path, known.media)}}
    return {
        **plain,
        "tags": [known.tag],
        "summary": known.summary,
        "parameters": [*in_path, *query],
        "responses": {
            **(given if known.media else {}),
            "default": {"description": "an error", "content": error},
        },
        "security": [] if known.is_open else [{"key": []}, {"x_api_key": []}],
    }
