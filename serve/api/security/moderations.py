"""POST /v1/moderations in OpenAI's shape: texts against the acceptable use policy. Judges by that alone."""

from __future__ import annotations

from typing import Any, NoReturn

from fastapi import APIRouter, Response
from fastapi import Request as HttpRequest
from pydantic import BaseModel, ConfigDict
from starlette.responses import JSONResponse

from dovetail.serve.api.context import ApiContext, fresh_id
from dovetail.serve.api.http.body import check, read_object
from dovetail.serve.api.http.fields import extra_fields
from dovetail.serve.errors import UserError
from dovetail.serve.govern.declines.document import AcceptableUse
from dovetail.serve.govern.declines.judge import Decline

ENDPOINT = "/v1/moderations"
MODEL = "dovetail-acceptable-use"
MOST_INPUTS = 256

OFFICIAL = (
    *("harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent", "self-harm"),
    *("self-harm/instructions", "self-harm/intent", "sexual", "sexual/minors", "violence", "violence/graphic"),
)
"""The categories that clients of OpenAI's endpoint read. Only ``illicit`` is judged here: it is set with any clause."""


class ModerationBody(BaseModel):
    """Texts to judge; ``model`` is taken and changes nothing."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)

    input: Any
    model: str | None = None


def routes(context: ApiContext) -> APIRouter:
    """The moderation endpoint."""
    router = APIRouter()

    @router.post(ENDPOINT)
    async def moderations(http: HttpRequest) -> Response:
        body = check(ModerationBody, await read_object(http, context.settings.max_body_bytes))
        conduct = context.settings.conduct
        if conduct is None:
            raise UserError(
                "This server has no acceptable use policy (--acceptable-use off), so there is nothing to judge by.",
                status=404,
                code="not_configured",
            )
        results = [_result(conduct.policy, await conduct.judge_text(text)) for text in texts_of(body.input)]
        return JSONResponse(
            {"id": fresh_id("modr"), "model": MODEL, "results": results},
            headers=context.ignored_header(http, extra_fields(body)),
        )

    return router


def texts_of(value: Any) -> list[str]:
    """The input in any of its three forms: a text, texts, or text parts, which are one text each."""
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list) or not value or len(value) > MOST_INPUTS:
        _refuse("input", f"must be a text, or a list of 1 to {MOST_INPUTS} texts or text parts")
    texts: list[str] = []
    for index, item in enumerate(value):
        if isinstance(item, str):
            texts.append(item)
        elif isinstance(item, dict) and item.get("type") == "text" and isinstance(item.get("text"), str):
            texts.append(item["text"])
        else:
            _refuse(f"input[{index}]", 'must be a text or {"type": "text", "text": ...}; images are not judged here')
    return texts


def _refuse(path: str, what: str) -> NoReturn:
    raise UserError(f"{path}: {what}.", code="invalid_value", param=path)


def _result(policy: AcceptableUse, found: Decline | None) -> dict[str, Any]:
    names = [*OFFICIAL, *(clause.id for clause in policy.clause)]
    flagged = {found.clause.id, "illicit"} if found is not None else set()
    told = {
        "flagged": found is not None,
        "categories": {name: name in flagged for name in names},
        "category_scores": {name: float(name in flagged) for name in names},
        "category_applied_input_types": {name: ["text"] for name in names},
    }
    return told if found is None else {**told, "clause": found.clause.id, "by": found.by, "rule": found.rule or None}
