"""POST /v1/embeddings: refused by name, since the models served here make none."""

from __future__ import annotations

from fastapi import APIRouter, Response
from fastapi import Request as HttpRequest

from dovetail.serve.api.context import ApiContext
from dovetail.serve.api.http.body import read_object
from dovetail.serve.errors import UserError

ENDPOINT = "/v1/embeddings"


def routes(context: ApiContext) -> APIRouter:
    """The refusal."""
    router = APIRouter()

    @router.post(ENDPOINT)
    async def embeddings(http: HttpRequest) -> Response:
        name = (await read_object(http, context.settings.max_body_bytes)).get("model")
        context.require_model(name if isinstance(name, str) else None)
        raise UserError(
            f"{context.served.name} makes no embeddings: it is a model that writes text.",
            code="unsupported_model",
            param="model",
        )

    return router
