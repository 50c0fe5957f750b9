"""Errors as OpenAI's error bodies, for every way a request can fail. Decides nothing about what is an error."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.types import Scope

from dovetail.serve.errors import DovetailError, EngineError
from dovetail.serve.govern.quotas.refusal import QuotaExceeded

CLIENT_GONE = 499
"""The status in logs and metrics of a request whose client left (nginx's number; nobody receives it)."""

ERROR_CODE = "dovetail.error_code"
"""In the scope: the code of the error that was told."""

REFUSED = "x-dovetail-refused"
NOT_BEGUN = frozenset({"draining", "model_loading", "not_ready"})
"""With these codes nothing of the request was begun: the header above tells a proxy that it may ask another server."""

_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


def error_body(status: int, message: str, code: str | None, param: str | None = None) -> dict[str, Any]:
    """The body every OpenAI client reads."""
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def body_of(error: DovetailError) -> dict[str, Any]:
    """The body of one of our own errors."""
    return error_body(error.status, error.message, error.code, error.param)


def sse_error(error: DovetailError) -> bytes:
    """The same body as the data of a server-sent event."""
    return f"data: {json.dumps(body_of(error), ensure_ascii=False)}\n\n".encode()


INTERNAL = EngineError(
    "The server failed on this request; its log has the details under this request's x-request-id.",
    status=500,
    code="internal_error",
)


FAILED = "error"
"""The finish reason of what a failure has ended. OpenAI's own servers have none: no answer is taken for complete by it."""


async def told(
    events: AsyncGenerator[bytes, None], say: Callable[[DovetailError], bytes], end: bytes = b""
) -> AsyncGenerator[bytes, None]:
    """``events``, then ``end``. A failure is told as an event, since the status has long been sent; ``say`` words it."""
    try:
        async with aclosing(events):
            async for event in events:
                yield event
    except DovetailError as error:
        yield say(error)
    except Exception:
        yield say(INTERNAL)
        raise
    if end:
        yield end


Wording = Callable[[DovetailError, str], dict[str, Any]]
"""An error's body in one protocol, given the error and the request's id."""


def _openai(error: DovetailError, request_id: str) -> dict[str, Any]:
    return body_of(error)


class Answers:
    """Answers to requests that fail: OpenAI's error bodies, but for paths that begin with one of ``wordings``."""

    def __init__(self, retry_after_seconds: int, wordings: Mapping[str, Wording] | None = None) -> None:
        self._retry_after_seconds = retry_after_seconds
        self._wordings = wordings or {}

    def to(self, scope: Scope, error: DovetailError, headers: Mapping[str, str] | None = None) -> Response:
        """The answer that tells ``error``."""
        scope[ERROR_CODE] = error.code
        prefixes = [prefix for prefix in self._wordings if scope["path"].startswith(prefix)]
        wording = self._wordings[prefixes[0]] if prefixes else _openai
        request_id = str(scope.get("dovetail.request_id", ""))
        told = {**self._advice(error), **(headers or {})}
        return JSONResponse(wording(error, request_id), status_code=error.status, headers=told)

    def _advice(self, error: DovetailError) -> dict[str, str]:
        if isinstance(error, QuotaExceeded):
            return {"retry-after": str(error.retry_after)}
        if error.status in (429, 503):
            advice = {"retry-after": str(self._retry_after_seconds)}
            return {**advice, REFUSED: error.code} if error.code in NOT_BEGUN else advice
        return {"www-authenticate": "Bearer"} if error.status == 401 else {}


def install(app: FastAPI, answers: Answers) -> None:
    """Answer every exception with an error body."""

    async def ours(request: Request, error: Exception) -> Response:
        assert isinstance(error, DovetailError)
        return answers.to(request.scope, error)

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if error.status_code == 404:
            message = f"There is no {request.method} {request.url.path} here."
            code = "unknown_route"
        elif error.status_code == 405:
            message = f"{request.url.path} does not take {request.method}."
            code = "method_not_allowed"
        else:
            message, code = str(error.detail), HTTPStatus(error.status_code).phrase.lower().replace(" ", "_")
        return answers.to(request.scope, DovetailError(message, status=error.status_code, code=code), error.headers)

    async def gone(request: Request, error: Exception) -> Response:
        return Response(status_code=CLIENT_GONE)

    async def bug(request: Request, error: Exception) -> Response:
        return answers.to(request.scope, INTERNAL, {"x-request-id": request.scope.get("dovetail.request_id", "")})

    app.add_exception_handler(DovetailError, ours)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(ClientDisconnect, gone)
    app.add_exception_handler(Exception, bug)
