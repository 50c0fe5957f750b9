"""Which answer each operation gives, by media type: what the OpenAPI document says under 200."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from dovetail.serve.api.operations import CARD_SCHEMA, CYCLONEDX, EVENTS, JSON, SARIF
from dovetail.serve.api.schemas import chat, completions, edits, messages, response_events, responses, served, stored
from dovetail.serve.api.schemas.shared import Deleted

Answers = Mapping[str, tuple[type[BaseModel] | str, ...]]
"""By media type, the shapes of which an answer has one; a word is the name of a component. Of a stream: each event's data."""

_CONVERSATION = "/v1/conversations/{conversation_id}"
_CARD: Answers = {JSON: ("SystemCard", served.CardBlocks, served.CardEnvelope), CYCLONEDX: ("CycloneDX",)}


def _one(model: type[BaseModel]) -> Answers:
    return {JSON: (model,)}


def _either(whole: type[BaseModel], *events: type[BaseModel] | str) -> Answers:
    return {JSON: (whole,), EVENTS: events}


ANSWERS: Mapping[tuple[str, str], Answers] = {
    ("post", "/v1/edits"): _either(edits.EditAnswer, edits.EditEvent),
    ("post", "/v1/edits/apply"): _one(edits.AppliedEdits),
    ("post", "/v1/chat/completions"): _either(chat.ChatCompletion, chat.ChatCompletionChunk, "Error"),
    ("get", "/v1/chat/completions"): _one(chat.ChatCompletionPage),
    ("get", "/v1/chat/completions/{id}"): _one(chat.ChatCompletion),
    ("post", "/v1/chat/completions/{id}"): _one(chat.ChatCompletion),
    ("delete", "/v1/chat/completions/{id}"): _one(Deleted),
    ("get", "/v1/chat/completions/{id}/messages"): _one(chat.StoredMessagePage),
    ("post", "/v1/responses"): _either(responses.Response, response_events.ResponseEvent),
    ("post", "/v1/responses/input_tokens"): _one(responses.InputTokens),
    ("post", "/v1/responses/compact"): _one(responses.CompactedResponse),
    ("get", "/v1/responses/{response_id}"): _either(responses.Response, response_events.ResponseEvent),
    ("delete", "/v1/responses/{response_id}"): _one(Deleted),
    ("post", "/v1/responses/{response_id}/cancel"): _one(responses.Response),
    ("get", "/v1/responses/{response_id}/input_items"): _one(responses.ItemPage),
    ("post", "/v1/conversations"): _one(responses.Conversation),
    ("get", _CONVERSATION): _one(responses.Conversation),
    ("post", _CONVERSATION): _one(responses.Conversation),
    ("delete", _CONVERSATION): _one(Deleted),
    ("get", f"{_CONVERSATION}/items"): _one(responses.ItemPage),
    ("post", f"{_CONVERSATION}/items"): _one(responses.ItemPage),
    ("get", _CONVERSATION + "/items/{item_id}"): _one(responses.Item),
    ("delete", _CONVERSATION + "/items/{item_id}"): _one(responses.Conversation),
    ("post", "/v1/messages"): _either(messages.Message, messages.MessageEvent, "MessagesError"),
    ("post", "/v1/messages/count_tokens"): _one(messages.MessageTokens),
    ("post", "/v1/completions"): _either(completions.Completion, completions.Completion, "Error"),
    ("post", "/infill"): _either(completions.Infill, completions.InfillDelta, completions.Infill, "Error"),
    ("post", "/v1/embeddings"): _one(served.EmbeddingList),
    ("post", "/tokenize"): _one(served.Tokenized),
    ("post", "/detokenize"): _one(served.Detokenized),
    ("post", "/v1/files"): _one(stored.File),
    ("get", "/v1/files"): _one(stored.FilePage),
    ("get", "/v1/files/{id}"): _one(stored.File),
    ("delete", "/v1/files/{id}"): _one(Deleted),
    ("post", "/v1/batches"): _one(stored.Batch),
    ("get", "/v1/batches"): _one(stored.BatchPage),
    ("get", "/v1/batches/{id}"): _one(stored.Batch),
    ("post", "/v1/batches/{id}/cancel"): _one(stored.Batch),
    ("post", "/v1/security/scan"): {JSON: (served.SecurityScan,), SARIF: ("SARIF",)},
    ("post", "/v1/moderations"): _one(served.Moderations),
    ("get", "/v1/models"): {JSON: (served.ServedModelList, served.AnthropicModelList)},
    ("get", "/v1/models/{name}"): {JSON: (served.ServedModelEntry, served.AnthropicModelEntry)},
    ("get", "/v1/system-card"): _CARD,
    ("get", "/v1/system-card/schema"): {CARD_SCHEMA: ("JSONSchema",)},
    ("get", "/v1/system-card/history"): _one(served.CardList),
    ("get", "/v1/system-card/{name}"): _CARD,
    ("get", "/health"): _one(served.Alive),
    ("get", "/ready"): _one(served.Ready),
}
"""Operations that answer with text alone (metrics, a file's lines) stand nowhere here."""

MODELS: tuple[type[BaseModel], ...] = tuple(
    dict.fromkeys(
        shape
        for by_media in ANSWERS.values()
        for shapes in by_media.values()
        for shape in shapes
        if not isinstance(shape, str)
    )
)


def content_of(method: str, path: str, media: tuple[str, ...]) -> dict[str, Any]:
    """What stands under ``content``: a schema for each media type; text where nothing else is said."""
    known = ANSWERS.get((method, path), {})
    return {each: {"schema": _schema(known.get(each, ()))} for each in media}


def _schema(shapes: tuple[type[BaseModel] | str, ...]) -> dict[str, Any]:
    names = [shape if isinstance(shape, str) else shape.__name__ for shape in shapes]
    found = [{"$ref": f"#/components/schemas/{name}"} for name in names]
    if not found:
        return {"type": "string"}
    return found[0] if len(found) == 1 else {"anyOf": found}
