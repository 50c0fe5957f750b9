"""The OpenAPI document: FastAPI's own, with the request bodies, which the endpoints read themselves, and the answers that they write."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from dovetail.serve.api.adapters import LOAD, UNLOAD, LoadBody, UnloadBody
from dovetail.serve.api.anthropic.body import ContextFields as MessagesContext
from dovetail.serve.api.anthropic.body import MessagesBody
from dovetail.serve.api.batches.batch import BatchBody
from dovetail.serve.api.chat.body import ChatBody
from dovetail.serve.api.chat.stored import RelabelBody
from dovetail.serve.api.completions.endpoints import CompletionBody
from dovetail.serve.api.completions.infill import InfillBody
from dovetail.serve.api.edits.apply import ApplyBody
from dovetail.serve.api.edits.body import EditsBody
from dovetail.serve.api.embeddings import EmbeddingsBody
from dovetail.serve.api.operations import ERROR, MESSAGES_ERROR, described
from dovetail.serve.api.responses.body import ContextFields as ResponsesContext
from dovetail.serve.api.responses.body import ResponseBody
from dovetail.serve.api.responses.conversations import ConversationBody
from dovetail.serve.api.security.moderations import ModerationBody
from dovetail.serve.api.security.scans import ScanBody
from dovetail.serve.api.tokenize import DetokenizeBody, TokenizeBody
from dovetail.serve.govern.card.schema import SCHEMA as CARD

BODIES: Mapping[str, type[BaseModel]] = {
    "/v1/completions": CompletionBody,
    "/infill": InfillBody,
    "/tokenize": TokenizeBody,
    "/detokenize": DetokenizeBody,
    LOAD: LoadBody,
    UNLOAD: UnloadBody,
    "/v1/batches": BatchBody,
    "/v1/edits": EditsBody,
    "/v1/embeddings": EmbeddingsBody,
    "/v1/edits/apply": ApplyBody,
    "/v1/security/scan": ScanBody,
    "/v1/moderations": ModerationBody,
    "/v1/chat/completions": ChatBody,
    "/v1/chat/completions/{id}": RelabelBody,
    "/v1/responses": ResponseBody,
    "/v1/responses/input_tokens": ResponsesContext,
    "/v1/responses/compact": ResponsesContext,
    "/v1/conversations": ConversationBody,
    "/v1/conversations/{conversation_id}": ConversationBody,
    "/v1/conversations/{conversation_id}/items": ConversationBody,
    "/v1/messages": MessagesBody,
    "/v1/messages/count_tokens": MessagesContext,
}
"""What is POSTed as JSON to each endpoint that takes a body."""
UPLOAD = {
    "type": "object",
    "required": ["file", "purpose"],
    "properties": {"file": {"type": "string", "format": "binary"}, "purpose": {"type": "string"}},
}
"""The form that /v1/files takes."""
ELSEWHERE: Mapping[str, dict[str, Any]] = {
    "Error": ERROR,
    "MessagesError": MESSAGES_ERROR,
    "SystemCard": {name: part for name, part in CARD.items() if name != "$schema"},
    "CycloneDX": {"type": "object", "description": "A bill of materials as CycloneDX 1.6 has it."},
    "SARIF": {"type": "object", "description": "Findings as SARIF 2.1.0 has them."},
    "JSONSchema": {"type": "object", "description": "A JSON schema."},
}
"""Shapes that are written down in another place, here or in a standard."""
SCHEMES = {
    "key": {"type": "http", "scheme": "bearer"},
    "x_api_key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
}
"""How a credential comes, where the server asks for one (docs/access.md)."""


def install(app: FastAPI) -> None:
    """Let ``app`` describe its bodies and answers too; the document is made when it is first asked for."""
    plain: Callable[[], dict[str, Any]] = app.openapi

    def complete() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = with_shapes(plain())
        return app.openapi_schema

    app.openapi = complete  # type: ignore[method-assign]


def with_shapes(document: dict[str, Any]) -> dict[str, Any]:
    """``document`` with a schema for each body and each answer."""
    # Only whoever asks for the document waits for them.
    from dovetail.serve.api.schemas.answers import MODELS, content_of

    models = [(model, "validation") for model in dict.fromkeys((*BODIES.values(), *MODELS))]
    by_model, shared = models_json_schema(models, ref_template="#/components/schemas/{model}")  # type: ignore[arg-type]
    paths = {
        path: {method: described(method, path, operation, content_of) for method, operation in operations.items()}
        for path, operations in document["paths"].items()
    }
    for path, model in BODIES.items():
        content = {"application/json": {"schema": by_model[model, "validation"]}}
        if path in paths:
            paths[path]["post"] = {**paths[path]["post"], "requestBody": {"required": True, "content": content}}
    if "/v1/files" in paths:
        form = {"multipart/form-data": {"schema": UPLOAD}}
        paths["/v1/files"]["post"] = {**paths["/v1/files"]["post"], "requestBody": {"required": True, "content": form}}
    schemas = {**shared.get("$defs", {}), **ELSEWHERE}
    return {**document, "paths": paths, "components": {"schemas": schemas, "securitySchemes": SCHEMES}}
