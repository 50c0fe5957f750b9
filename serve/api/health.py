"""/health, /ready and /metrics: for load balancers, start scripts and Prometheus."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import JSONResponse

from dovetail import __version__
from dovetail.serve.api.context import ApiContext


def routes(context: ApiContext) -> APIRouter:
    """Endpoints that answer without the model."""
    router = APIRouter()

    @router.head("/health", include_in_schema=False)
    @router.get("/health")
    async def health(request: Request) -> Response:
        return JSONResponse({"status": "ok", "server": "dovetail", "version": __version__})

    @router.head("/ready", include_in_schema=False)
    @router.get("/ready")
    async def ready(request: Request) -> Response:
        # Nobody has to show a key here: where others must, this does not tell the model's name.
        told = {"server": "dovetail"}
        if context.governance.access.is_open:
            told["model"] = context.models.first.served.name
        if context.takes_requests:
            return JSONResponse({"status": "ready", **told})
        return JSONResponse(
            {"status": "draining" if context.load.draining else "loading", **told},
            status_code=503,
            headers={"retry-after": str(context.settings.retry_after_seconds)},
        )

    @router.get("/metrics")
    async def metrics(request: Request) -> Response:
        return Response(context.metrics.exposition(), headers={"content-type": CONTENT_TYPE_LATEST})

    return router
