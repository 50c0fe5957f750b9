"""ASGI middleware around every request: its id, its metrics, its log line. Looks at no body."""

from __future__ import annotations

import re
import time
import uuid

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dovetail.serve.api.http.failures import CLIENT_GONE
from dovetail.serve.api.http.metrics import Metrics

log: structlog.stdlib.BoundLogger = structlog.get_logger("dovetail.api")

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:\-]{1,128}")


class Observe:
    """Gives each request an id (the client's own, if it is a plain word), measures it and logs it."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        arrived = time.perf_counter()
        scope["dovetail.request_id"] = request_id
        scope["dovetail.arrived"] = arrived
        status = 500

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message["headers"], (b"x-request-id", request_id.encode())]}
            await send(message)

        with self._metrics.in_flight.track_inprogress():
            try:
                await self._app(scope, receive, send_with_id)
            finally:
                if scope.get("dovetail.client_gone"):
                    status = CLIENT_GONE
                self._record(scope, request_id, status, time.perf_counter() - arrived)

    def _record(self, scope: Scope, request_id: str, status: int, seconds: float) -> None:
        # The router leaves the matched route in the scope; unknown paths must not become label values.
        endpoint = getattr(scope.get("route"), "path", "unknown")
        self._metrics.requests.labels(endpoint, str(status)).inc()
        self._metrics.duration.labels(endpoint).observe(seconds)
        quiet = endpoint in ("/health", "/ready", "/metrics") and status != 500
        (log.debug if quiet else log.info)(
            "request",
            request_id=request_id,
            method=scope["method"],
            path=scope["path"],
            status=status,
            seconds=round(seconds, 4),
        )


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            text = value.decode("latin-1")
            if _REQUEST_ID.fullmatch(text):
                return str(text)
    return uuid.uuid4().hex
