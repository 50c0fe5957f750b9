"""ASGI middleware around every request: its id, its metrics, its log line, its place among the latest. Looks at no body."""

from __future__ import annotations

import re
import time
import uuid

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from dovetail.serve.api.http.failures import CLIENT_GONE, ERROR_CODE
from dovetail.serve.api.http.metrics import Metrics
from dovetail.serve.api.http.recent import PASSING, Passing
from dovetail.serve.api.http.sse import SEND

log: structlog.stdlib.BoundLogger = structlog.get_logger("dovetail.api")

_QUIET = frozenset({"/health", "/ready", "/metrics", "/"})
_QUIET_BELOW = "/console/"
"""What is asked again and again by machines and open pages: not among the latest requests, and not in the log unless it fails."""

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
        scope[SEND] = send
        passing = scope[PASSING] = self._passing(scope, request_id)
        status = 500

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message["headers"], (b"x-request-id", request_id.encode())]}
            await send(message)

        with self._metrics.in_flight.track_inprogress(), bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, send_with_id)
            finally:
                if scope.get("dovetail.client_gone"):
                    status = CLIENT_GONE
                seconds = time.perf_counter() - arrived
                if passing is not None:
                    passing.route = getattr(scope.get("route"), "path", "unknown")
                    self._metrics.recent.end(passing, status, scope.get(ERROR_CODE), seconds)
                self._record(scope, request_id, status, seconds)

    def _passing(self, scope: Scope, request_id: str) -> Passing | None:
        path = scope["path"]
        if path in _QUIET or path.startswith(_QUIET_BELOW):
            return None
        client = scope.get("client")
        passing = self._metrics.recent.begin(request_id, scope["method"], path, client[0] if client else "")
        passing.traceparent = dict(scope["headers"]).get(b"traceparent", b"").decode("latin-1")
        return passing

    def _record(self, scope: Scope, request_id: str, status: int, seconds: float) -> None:
        # The router leaves the matched route in the scope; unknown paths must not become label values.
        endpoint = getattr(scope.get("route"), "path", "unknown")
        self._metrics.requests.labels(endpoint, str(status)).inc()
        self._metrics.duration.labels(endpoint).observe(seconds)
        quiet = (endpoint in _QUIET or endpoint.startswith(_QUIET_BELOW)) and status != 500
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
