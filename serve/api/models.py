"""/v1/models: the one model of this server, as OpenAI clients list it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.responses import JSONResponse

from dovetail.serve.api.context import ApiContext


def routes(context: ApiContext) -> APIRouter:
    """The list and its one entry."""
    router = APIRouter()

    @router.get("/v1/models")
    async def list_models(request: Request) -> Response:
        return JSONResponse({"object": "list", "data": [_entry(context)]})

    @router.get("/v1/models/{name:path}")
    async def one_model(request: Request) -> Response:
        context.require_model(request.path_params["name"])
        return JSONResponse(_entry(context))

    return router


def _entry(context: ApiContext) -> dict[str, Any]:
    served = context.served
    return {
        "id": served.name,
        "object": "model",
        "created": served.created,
        "owned_by": "dovetail",
        "context_length": served.max_model_len,
        "max_model_len": served.max_model_len,
        "capabilities": list(served.capabilities),
    }
