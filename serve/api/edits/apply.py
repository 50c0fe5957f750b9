"""POST /v1/edits/apply: text made elsewhere, in any edit format, and files in; files, edits and a patch out. Runs no model.

Exact and all or none. What does not fit is a 422 that says which lines were looked for, how far they were found, what the
file has there, and what to send again.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Response
from fastapi import Request as HttpRequest
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse

from dovetail.serve.api.access.visit import visiting
from dovetail.serve.api.context import ApiContext, fresh_id
from dovetail.serve.api.edits.body import EditFile, ProtectedRange, check_files, check_protected
from dovetail.serve.api.edits.notes import note_edits, note_findings
from dovetail.serve.api.edits.policy import PolicyRefused, finding_of, policy_for, report_of
from dovetail.serve.api.edits.report import edits_of, unchecked_of
from dovetail.serve.api.http.body import check, read_object
from dovetail.serve.api.http.failures import body_of
from dovetail.serve.edit.block import EditError
from dovetail.serve.edit.formats.blocks.markers import choose_markers
from dovetail.serve.edit.formats.registry import FORMATS, without_words
from dovetail.serve.edit.landing.job import Job
from dovetail.serve.edit.view import as_read, restored, views_for, with_line_feeds
from dovetail.serve.errors import UserError
from dovetail.serve.types import EditFormat, Markers, SyntaxGating

ENDPOINT = "/v1/edits/apply"


class MarkerLines(BaseModel):
    """The marker lines of the text's blocks, where they are neither of the usual shape nor those that /v1/edits would choose."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    search: Annotated[str, Field(min_length=1)]
    divider: Annotated[str, Field(min_length=1)]
    replace: Annotated[str, Field(min_length=1)]


class ApplyBody(BaseModel):
    """A text of edits, the files it is about, and the rules. ``render``: the format to write the edits in again."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    text: str
    files: Annotated[list[EditFile], Field()]
    format: EditFormat = "blocks"
    syntax: SyntaxGating = "each"
    protected: list[ProtectedRange] | None = None
    policy: dict[str, Any] | None = None
    markers: MarkerLines | None = None
    render: EditFormat | None = None


def routes(context: ApiContext) -> APIRouter:
    """The apply endpoint."""
    router = APIRouter()

    @router.post(ENDPOINT)
    async def apply(http: HttpRequest) -> Response:
        body = check(ApplyBody, await read_object(http, context.settings.max_body_bytes))
        try:
            return JSONResponse(await asyncio.to_thread(_applied, context, body))
        except EditError as error:
            visiting().trail.code = error.code
            return JSONResponse(refusal(error), status_code=error.status)
        except PolicyRefused as error:
            note_findings(visiting().trail, error.findings)
            visiting().trail.code = error.code
            details = {"findings": [finding_of(each) for each in error.findings]}
            told = body_of(error)
            return JSONResponse({"error": {**told["error"], "details": details}}, status_code=error.status)

    return router


def _applied(context: ApiContext, body: ApplyBody) -> dict[str, Any]:
    files = check_files(body.files)
    policy = policy_for(context.settings.policy, body.policy)
    protected = check_protected(files, body.protected)
    markers = Markers(**body.markers.model_dump()) if body.markers is not None else choose_markers(as_read(files))
    form = FORMATS[body.format]
    views = views_for(body.text, files, verbatim=form.verbatim(body.text))
    edits = form.read_foreign(with_line_feeds(body.text), [view.file for view in views.values()], markers)
    edits = restored(edits, views)
    after = context.landings.land(
        Job(
            files=files,
            edits=edits,
            syntax=body.syntax,
            protected=protected,
            policy=policy.texts if policy is not None else (),
        )
    )
    if after.refused:
        raise PolicyRefused(after.refused)
    note_edits(visiting().trail, edits, after.changed, after.reported)
    answer = {
        "id": fresh_id("apply"),
        "object": "edits.applied",
        "format": body.format,
        **edits_of(edits),
        "files": [{"path": file.path, "content": file.content} for file in after.changed],
        "patch": after.patch,
        "syntax": after.syntax,
        **unchecked_of(after.unchecked),
        **report_of(policy, files, after.reported, decoded=False),
    }
    if body.render is not None:
        missing = {each.kind for each in edits.operations} - set(FORMATS[body.render].operations)
        if missing:
            raise UserError(
                f"The text asks to {min(missing)} a file, {without_words(body.render, min(missing))}.",
                code="unsupported_format",
                param="render",
            )
        answer["text"] = FORMATS[body.render].render(files, edits, markers)
    return answer


def refusal(error: EditError) -> dict[str, Any]:
    """The error body, with what a model needs to send the edit again."""
    body = body_of(error)
    details: dict[str, Any] = {
        "edit": error.block,
        "path": error.path,
        "reason": error.reason,
        "fitted": error.block,
        "applied": 0,
        "resend": "Nothing was applied. Send all edits again, with this one put right.",
    }
    found = error.mismatch
    if found is not None:
        details["expected"] = list(found.expected)
        details["matched"] = found.matched
        details["nearest"] = {"start_line": found.start_line, "lines": list(found.nearest)} if found.nearest else None
        if found.nearest:
            last = found.start_line + len(found.nearest) - 1
            details["resend"] = (
                f"Nothing was applied. If lines {found.start_line} to {last} are meant, quote them exactly as they are "
                "under nearest, and send all edits again."
            )
    body["error"]["details"] = details
    return body
