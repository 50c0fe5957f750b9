"""Whether a conversation is declined, and how an answer says so. Judges nothing itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request as HttpRequest

from dovetail.serve.api.access.visit import visiting
from dovetail.serve.api.context import ApiContext
from dovetail.serve.api.conversation.conversation import Conversation
from dovetail.serve.api.security.notes import note_decline
from dovetail.serve.govern.declines.conduct import Said
from dovetail.serve.govern.declines.judge import Decline

SESSION_HEADERS = ("x-dovetail-session", "session-id", "x-session-id", "x-session-affinity", "x-claude-code-session-id")
"""By which clients name an agent's run; the first that is there counts."""


async def declined(context: ApiContext, http: HttpRequest, conversation: Conversation) -> Decline | None:
    """Why the conversation is declined; None: it is answered."""
    said = [Said(message.text, message.role == "user") for message in conversation.messages]
    return await declined_said(context, http, said)


async def declined_said(context: ApiContext, http: HttpRequest, said: list[Said]) -> Decline | None:
    """As declined, of plain texts."""
    conduct = context.settings.conduct
    if conduct is None:
        return None
    found = await conduct.judge(said, tenant=visiting().principal.id, session=_session(http))
    return _noted(context, found)


async def declined_plain(context: ApiContext, http: HttpRequest, texts: Sequence[str]) -> Decline | None:
    """As declined, of texts that are to be continued."""
    conduct = context.settings.conduct
    if conduct is None:
        return None
    found = await conduct.judge_plain(texts, tenant=visiting().principal.id, session=_session(http))
    return _noted(context, found)


def _session(http: HttpRequest) -> str | None:
    return next((http.headers[name] for name in SESSION_HEADERS if name in http.headers), None)


def _noted(context: ApiContext, found: Decline | None) -> Decline | None:
    if found is not None:
        note_decline(context.metrics, found)
    return found


def told_decline(found: Decline) -> dict[str, Any]:
    """The ``security`` of an answer that was declined."""
    clause = {"id": found.clause.id, "title": found.clause.title, "text": found.clause.text}
    return {"declined": {"clause": clause, "by": found.by, "rule": found.rule or None}}
