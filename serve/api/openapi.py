"""The OpenAPI document: FastAPI's own, with the request bodies, which the endpoints read themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from dovetail.serve.api.anthropic.body import ContextFields as MessagesContext
from dovetail.serve.api.anthropic.body import MessagesBody
from dovetail.serve.api.apply import ApplyBody
from dovetail.serve.api.chat_body import ChatBody
from dovetail.serve.api.chat_stored import RelabelBody
from dovetail.serve.api.completions import CompletionBody
from dovetail.serve.api.edit_body import EditsBody
from dovetail.serve.api.responses.body import ContextFields as ResponsesContext
from dovetail.serve.api.responses.body import ResponseBody
from dovetail.serve.api.responses.conversations import ConversationBody

BODIES: Mapping[str, type[BaseModel]] = {
    "/v1/completions": CompletionBody,
    "/v1/edits": EditsBody,
    "/v1/edits/apply": ApplyBody,
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
"""What is POSTed to each endpoint that takes a body."""


def install(app: FastAPI) -> None:
    """Let ``app`` describe its bodies too; the document is made when it is first asked for."""
    plain: Callable[[], dict[str, Any]] = app.openapi

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = with_bodies(plain())
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign]


def with_bodies(document: dict[str, Any]) -> dict[str, Any]:
    """``document`` with a schema for each body."""
    models = [(model, "validation") for model in dict.fromkeys(BODIES.values())]
    by_model, shared = models_json_schema(models, ref_template="#/components/schemas/{model}")  # type: ignore[arg-type]
    paths = {path: dict(operations) for path, operations in document["paths"].items()}
    for path, model in BODIES.items():
        content = {"application/json": {"schema": by_model[model, "validation"]}}
        if path in paths:
            paths[path]["post"] = {**paths[path]["post"], "requestBody": {"required": True, "content": content}}
    components = document.get("components", {})
    schemas = {**components.get("schemas", {}), **shared.get("$defs", {})}
    return {**document, "paths": paths, "components": {**components, "schemas": schemas}}
