"""ASGI middleware before every route: who is calling, may they call this, does their quota last. Looks at no body.

It stands before the routes, and knows but two of them: one that is added later is guarded without a word.
"""

from __future__ import annotations

from collections.abc import Callable

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dovetail.serve.api.access.headers import anthropic_headers, credential_of, openai_headers
from dovetail.serve.api.access.visit import CURRENT, Visit
from dovetail.serve.api.affinity import HEADER, sent_word
from dovetail.serve.api.http.failures import CLIENT_GONE, ERROR_CODE
from dovetail.serve.api.http.recent import PASSING, Passing
from dovetail.serve.console.files import PATHS
from dovetail.serve.errors import DovetailError
from dovetail.serve.govern.access.access import require
from dovetail.serve.govern.audit.trail import READING, Trail
from dovetail.serve.govern.governance import Governance
from dovetail.serve.govern.principal import Principal

OPEN = frozenset({"/health", "/ready", *PATHS})
"""For load balancers, which have no key: they are told nothing but whether the server lives and takes requests. And the console's own
files, by name: public code, the same for everybody, with nothing of this deployment in it (docs/decisions/016)."""

PRINCIPAL = "dovetail.principal"
"""In the scope: who is calling. Whoever asks the application in its own process sets it beforehand; no client can."""

CLIENT_NAME = "dovetail.client_name"
"""In the scope's state: the name in the connection's client certificate."""

ANTHROPIC = "/v1/messages"
_AFFINITY = HEADER.encode()


class Guard:
    """Lets in whom the governance lets in.

    Args:
        say: the answer to a request that is refused.
    """

    def __init__(self, app: ASGIApp, governance: Governance, say: Callable[[Scope, DovetailError], Response]) -> None:
        self._app = app
        self._governance = governance
        self._say = say

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http" or scope["path"] in OPEN:
            await self._app(scope, receive, send)
            return
        gate = self._governance.gate
        trail = self._trail(scope)
        refusal: Response | None = None
        visit: Visit | None = None
        principal: Principal | None = None
        try:
            principal = await self._principal(scope)
            trail.principal = principal
            passing = scope.get(PASSING)
            if isinstance(passing, Passing):
                passing.who = principal.name
            if trail.log is not None and trail.method not in READING:
                trail.log.require()
            require(principal, scope["path"])
            if self._governance.sharing is not None:
                await self._governance.sharing.fresh()
            gate.count_request(principal)
        except DovetailError as error:
            refusal = self._say(scope, error)

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start" and principal is not None:
                levels = gate.levels(principal)
                words = anthropic_headers if scope["path"].startswith(ANTHROPIC) else openai_headers
                message = {**message, "headers": [*message["headers"], *words(levels)]}
            if message["type"] == "http.response.start":
                trail.status = message["status"]
                if visit is not None and visit.affinity is not None:
                    message = {**message, "headers": [*message["headers"], (_AFFINITY, visit.affinity.encode())]}
            await send(message)

        if refusal is not None or principal is None:
            assert refusal is not None
            await refusal(scope, receive, told)
            trail.code = scope.get(ERROR_CODE)
            trail.close()
            return
        scope[PRINCIPAL] = principal
        visit = Visit(principal, gate, scope["path"], trail=trail, word=sent_word(scope["headers"]))
        before = CURRENT.set(visit)
        try:
            await self._app(scope, receive, told)
        finally:
            CURRENT.reset(before)
            trail.code = scope[ERROR_CODE] = trail.code or scope.get(ERROR_CODE)
            if scope.get("dovetail.client_gone"):
                trail.status = CLIENT_GONE
            if not visit.detached:
                visit.close()

    def _trail(self, scope: Scope) -> Trail:
        client = scope.get("client")
        return Trail(
            self._governance.audit,
            str(scope.get("dovetail.request_id", "")),
            scope["method"],
            scope["path"],
            client[0] if client else "",
        )

    async def _principal(self, scope: Scope) -> Principal:
        known = scope.get(PRINCIPAL)
        if isinstance(known, Principal):
            return known
        name = scope.get("state", {}).get(CLIENT_NAME)
        return await self._governance.access.principal(credential_of(scope["headers"]), name)
