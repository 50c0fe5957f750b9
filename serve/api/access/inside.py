"""The application asked in its own process, for somebody: by batches, whose lines count as their owner's requests."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec
from starlette.types import ASGIApp, Receive, Scope, Send

from dovetail.serve.api.access.guard import PRINCIPAL
from dovetail.serve.api.access.visit import CURRENT, Visit, visiting
from dovetail.serve.errors import UserError
from dovetail.serve.govern.access.access import Access, Owner
from dovetail.serve.govern.principal import ANONYMOUS, Principal

Result = TypeVar("Result")

OWNER = "owner"
"""Where a record says whose it is."""


def owner_of(principal: Principal) -> dict[str, Any]:
    """A principal as a record names it."""
    return {"id": principal.id, "name": principal.name, "kind": principal.kind, "group": principal.group}


def on_behalf(record: Mapping[str, Any], work: Callable[[], Result]) -> Result:
    """Do ``work``, and let the tasks that it creates do theirs, for the owner of ``record``."""
    owner = msgspec.convert(record.get(OWNER) or owner_of(ANONYMOUS), Owner)
    visit = Visit(Principal(id=owner.id, name=owner.name, kind=owner.kind, group=owner.group))

    def done() -> Result:
        CURRENT.set(visit)
        return work()

    return contextvars.copy_context().run(done)


def tenant() -> str | None:
    """Whose stored objects are to be seen: the caller's tenant's; None: everybody's, where nobody shows a key."""
    return visiting().principal.tenant


class OnBehalf:
    """``app``, for whom the running task works, as long as that one may still come in."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        who = visiting().principal
        try:
            scope[PRINCIPAL] = await self._access.returning(Owner(who.id, who.name, who.kind, who.group))
        except UserError:
            # Nobody: the guard says so in the protocol's words.
            scope.pop(PRINCIPAL, None)
        await self._app(scope, receive, send)
