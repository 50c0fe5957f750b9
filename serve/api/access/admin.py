"""The administrators' endpoints, an application of its own on a port or socket of its own: keys, usage, metrics, the console."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
from fastapi import APIRouter, FastAPI, Response
from fastapi import Request as HttpRequest
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse

from dovetail.serve.api.access.headers import credential_of
from dovetail.serve.api.http.body import check, read_object
from dovetail.serve.api.http.failures import Answers, install
from dovetail.serve.api.http.metrics import Metrics
from dovetail.serve.errors import DovetailError, UserError
from dovetail.serve.govern.access.access import require_admin
from dovetail.serve.govern.governance import Governance
from dovetail.serve.govern.keys.describe import described
from dovetail.serve.govern.keys.key import LONGEST_SECONDS, Key
from dovetail.serve.govern.keys.table import create_key, list_keys, revoke_key, rotate_key
from dovetail.serve.govern.principal import Principal, Quota, Scopes
from dovetail.serve.govern.quotas.usage import asked_report, report
from dovetail.serve.govern.store.database import Database, Result, Work

Admit = Callable[[HttpRequest], Awaitable[Any]]
"""Raises a 401 or 403 unless an administrator asks."""

_MOST_BYTES = 64 * 1024
BY_SOCKET = Principal(id="socket", name="administrators' socket", kind="anonymous")
"""Whoever the file system let open the socket."""


class KeyBody(BaseModel):
    """A key to be made; ``scopes`` and ``quota`` as in the access file."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")
    group: str | None = None
    scopes: dict[str, Any] | None = None
    quota: dict[str, Any] | None = None
    expires_seconds: int | None = Field(default=None, ge=1, le=LONGEST_SECONDS)


class RotateBody(BaseModel):
    """How long the old secret is good."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    grace_seconds: int = Field(default=0, ge=0, le=LONGEST_SECONDS)


class Admin:
    """What the endpoints share.

    Args:
        trusted: whoever can reach the socket is an administrator: the file system has decided it.
    """

    def __init__(self, governance: Governance, *, trusted: bool) -> None:
        self._governance = governance
        self._trusted = trusted

    async def admit(self, http: HttpRequest) -> Principal:
        """Who asks. Raises a 401 or 403 unless it is an administrator."""
        if self._trusted:
            return BY_SOCKET
        name = http.scope.get("state", {}).get("dovetail.client_name")
        try:
            principal = await self._governance.access.principal(credential_of(http.scope["headers"]), name)
            require_admin(principal)
        except DovetailError as error:
            self._note(http, None, "refused", {"code": error.code})
            raise
        return principal

    async def change(self, http: HttpRequest, who: Principal, work: Work[tuple[Key, str]]) -> tuple[Key, str]:
        """Change a key, and record it. Raises a 503 where that cannot be recorded."""
        audit = self._governance.audit
        if audit is not None:
            audit.require()
        key, text = await self.run(work)
        self._note(http, who, "answered", {"key": key.id, "key_name": key.name})
        return key, text

    def _note(self, http: HttpRequest, who: Principal | None, decision: str, more: dict[str, str]) -> None:
        audit = self._governance.audit
        if audit is not None:
            caller = {"id": who.id, "name": who.name, "kind": who.kind} if who is not None else None
            asked = {"method": http.method, "endpoint": http.url.path}
            audit.record("admin", {"who": caller, **asked, "decision": decision, **more})

    async def run(self, work: Work[Result]) -> Result:
        """Do ``work`` in the database of keys; a 404 where there is none."""
        database: Database | None = self._governance.database
        if database is None:
            raise UserError("This server has no keys: it was started without --keys.", status=404, code="no_keys")
        return await database.run(work)


def create_admin_app(
    governance: Governance,
    metrics: Metrics,
    *,
    trusted: bool,
    more: Sequence[Callable[[Admit], APIRouter]] = (),
) -> FastAPI:
    """The application. ``more``: other endpoints for administrators, each given the question who asks."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    admin = Admin(governance, trusted=trusted)
    install(app, Answers(1))
    for routes in more:
        app.include_router(routes(admin.admit))

    @app.get("/health")
    async def health() -> Response:
        return JSONResponse({"status": "ok", "server": "dovetail"})

    @app.get("/metrics")
    async def exposition(http: HttpRequest) -> Response:
        await admin.admit(http)
        return Response(metrics.exposition(), headers={"content-type": CONTENT_TYPE_LATEST})

    @app.get("/keys")
    async def keys(http: HttpRequest) -> Response:
        await admin.admit(http)
        now = time.time()
        return JSONResponse({"keys": [described(key, now) for key in await admin.run(list_keys)]})

    @app.post("/keys")
    async def create(http: HttpRequest) -> Response:
        who = await admin.admit(http)
        body = check(KeyBody, await read_object(http, _MOST_BYTES))
        now = time.time()
        if body.group is not None and body.group not in governance.access.groups:
            raise UserError(f"The access file has no group {body.group!r}.", code="no_group", param="group")
        scopes, quota = _given(body.scopes, Scopes, "scopes"), _given(body.quota, Quota, "quota")
        expires = None if body.expires_seconds is None else now + body.expires_seconds
        key, text = await admin.change(
            http,
            who,
            lambda session: create_key(
                session, body.name, now=now, group=body.group, scopes=scopes, quota=quota, expires=expires
            ),
        )
        return JSONResponse({**described(key, now), "key": text}, status_code=201)

    @app.post("/keys/{id}/rotate")
    async def rotate(http: HttpRequest, id: str) -> Response:
        who = await admin.admit(http)
        body = check(RotateBody, await read_object(http, _MOST_BYTES))
        now = time.time()
        grace = body.grace_seconds
        key, text = await admin.change(http, who, lambda session: rotate_key(session, id, now=now, grace_seconds=grace))
        return JSONResponse({**described(key, now), "key": text})

    @app.delete("/keys/{id}")
    async def revoke(http: HttpRequest, id: str) -> Response:
        who = await admin.admit(http)
        now = time.time()
        key, _ = await admin.change(http, who, lambda session: (revoke_key(session, id, now=now), ""))
        return JSONResponse(described(key, now))

    @app.get("/usage")
    async def usage(http: HttpRequest) -> Response:
        await admin.admit(http)
        by, since = asked_report(http.query_params.get("by", "key"), http.query_params.get("since", "0"))
        if governance.usage is not None:
            await governance.usage.flush()
        lines = await admin.run(lambda session: report(session, by, since))
        return JSONResponse({"by": by, "usage": [{name: getattr(line, name) for name in _LINE} for line in lines]})

    return app


_LINE = ("what", "name", "requests", "refused", "prompt_tokens", "completion_tokens")


def _given(value: dict[str, Any] | None, kind: type[Result], param: str) -> Result | None:
    if value is None:
        return None
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise UserError(f"{param}: {error}.", code="invalid_value", param=param) from error
