"""What the console asks: who is looking, the live view, keys and usage, the audit log. Changes nothing.

All but the first are for administrators. Where nobody is asked for a credential, everybody on this machine sees the live view;
the audit log then is for the command line alone.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter, Response
from fastapi import Request as HttpRequest
from starlette.responses import JSONResponse

from dovetail import __version__
from dovetail.serve.api.access.guard import PRINCIPAL
from dovetail.serve.api.console.live import snapshot
from dovetail.serve.api.context import ApiContext
from dovetail.serve.errors import UserError
from dovetail.serve.govern.access.access import require_admin
from dovetail.serve.govern.audit.search import search
from dovetail.serve.govern.audit.show import Filter
from dovetail.serve.govern.governance import Governance
from dovetail.serve.govern.keys.describe import described
from dovetail.serve.govern.keys.table import list_keys
from dovetail.serve.govern.principal import ANONYMOUS, Principal
from dovetail.serve.govern.quotas.usage import asked_report, report

_PRIVATE = {"cache-control": "no-store"}
_MOST_RECORDS = 200


Admit = Callable[[HttpRequest], Awaitable[Principal]]
"""Whoever asks, if it is an administrator; raises a 401 or 403 otherwise."""


def routes(context: ApiContext, admit: Admit | None = None) -> APIRouter:
    """Everything below /console/api.

    ``admit`` is given on the administrators' port: there all is for them, and keys can be changed. Elsewhere the guard has
    found out who asks.
    """
    router = APIRouter(prefix="/console/api", include_in_schema=False)
    governance = context.governance

    async def admitted(http: HttpRequest) -> Principal:
        if admit is not None:
            return await admit(http)
        if not governance.access.is_open:
            require_admin(_caller(http))
        return _caller(http)

    @router.get("/session")
    async def session(http: HttpRequest) -> Response:
        who = await admit(http) if admit is not None else _caller(http)
        return _answer(_session(context, who, administrators=admit is not None))

    @router.get("/live")
    async def live(http: HttpRequest) -> Response:
        await admitted(http)
        return _answer(snapshot(context))

    @router.get("/keys")
    async def keys(http: HttpRequest) -> Response:
        await admitted(http)
        database = governance.database
        if database is None:
            return _answer({"keys": None})
        now = time.time()
        return _answer({"keys": [described(key, now) for key in await database.run(list_keys)]})

    @router.get("/usage")
    async def usage(http: HttpRequest) -> Response:
        await admitted(http)
        return _answer(
            await _usage(governance, http.query_params.get("by", "key"), http.query_params.get("since", "0"))
        )

    @router.get("/audit")
    async def audit(http: HttpRequest) -> Response:
        await admitted(http)
        if admit is None and governance.access.is_open:
            raise UserError(
                "Without keys nobody can be known to be an administrator, so the audit log is not shown here: "
                "read it with 'dovetail audit show DIR', or serve with --keys.",
                status=403,
                code="admin_only",
            )
        return _answer(await asyncio.to_thread(_audit, governance, dict(http.query_params)))

    return router


def _caller(http: HttpRequest) -> Principal:
    found = http.scope.get(PRINCIPAL)
    return found if isinstance(found, Principal) else ANONYMOUS


async def _usage(governance: Governance, asked: str, since_text: str) -> dict[str, Any]:
    by, since = asked_report(asked, since_text)
    database = governance.database
    if database is None:
        return {"by": by, "usage": None}
    if governance.usage is not None:
        await governance.usage.flush()
    lines = await database.run(lambda session: report(session, by, since))
    return {"by": by, "usage": [vars(line) for line in lines]}


def _session(context: ApiContext, who: Principal, *, administrators: bool) -> dict[str, Any]:
    governance = context.governance
    is_open = governance.access.is_open
    return {
        "open": is_open,
        "name": who.name,
        "kind": who.kind,
        "group": who.group,
        "admin": administrators or is_open or who.is_admin,
        "administrators_port": administrators,
        "keys": governance.database is not None,
        "audit": governance.audit is not None,
        "version": __version__,
        "models": [
            {
                "name": each.served.name,
                "parent": each.parent,
                "context_length": each.served.max_model_len,
                "capabilities": list(each.served.capabilities),
            }
            for each in context.models
            if administrators or who.may_use(each.served.name)
        ],
    }


def _audit(governance: Governance, asked: dict[str, str]) -> dict[str, Any]:
    if governance.audit is None:
        return {"records": None, "before": None}
    limit = asked.get("limit", "100")
    if not re.fullmatch("[0-9]{1,9}", limit) or not 1 <= int(limit) <= _MOST_RECORDS:
        raise UserError(f"limit must be from 1 to {_MOST_RECORDS}.", code="invalid_value", param="limit")
    wanted = Filter(**{name: asked.get(name) or None for name in ("who", "since", "endpoint", "decision")})
    page = search(
        governance.audit.settings,
        wanted,
        asked.get("text", ""),
        before=asked.get("before") or None,
        limit=int(limit),
    )
    return {"records": page.records, "before": page.before, "name": governance.audit.settings.name}


def _answer(told: dict[str, Any]) -> JSONResponse:
    return JSONResponse(told, headers=_PRIVATE)
