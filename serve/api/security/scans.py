"""POST /v1/security/scan: findings in given files, new against their bases, as JSON or SARIF. Asks no model."""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal

from fastapi import APIRouter, Response
from fastapi import Request as HttpRequest
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse

from dovetail.serve.api.context import ApiContext
from dovetail.serve.api.http.body import check, read_object
from dovetail.serve.api.security.fields import told_findings
from dovetail.serve.api.security.notes import note_found
from dovetail.serve.errors import UserError
from dovetail.serve.govern.findings.bandit import Bandit
from dovetail.serve.govern.findings.outside import scan_file
from dovetail.serve.govern.findings.rules import RuleSet, named_rules
from dovetail.serve.govern.findings.sarif import sarif
from dovetail.serve.govern.findings.scan import Scan

ENDPOINT = "/v1/security/scan"


class ScannedFile(BaseModel):
    """A file, and the text that it had before: what was there already is no finding."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    path: Annotated[str, Field(min_length=1, max_length=1024)]
    content: str
    base: str | None = None


class ScanBody(BaseModel):
    """What is scanned, and by which rules. ``bandit``: ask Bandit about Python, too."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    files: Annotated[list[ScannedFile], Field(min_length=1, max_length=1000)]
    rules: Annotated[list[str], Field(min_length=1, max_length=200)] = ["default"]
    without: Annotated[list[str], Field(max_length=200)] = []
    format: Literal["findings", "sarif"] = "findings"
    bandit: bool = False


def routes(context: ApiContext) -> APIRouter:
    """The scan endpoint."""
    router = APIRouter()

    @router.post(ENDPOINT)
    async def scan(http: HttpRequest) -> Response:
        body = check(ScanBody, await read_object(http, context.settings.max_body_bytes))
        found = await scanned(body)
        note_found(context.metrics, found.found)
        if body.format == "sarif":
            return JSONResponse(sarif(found.found), media_type="application/sarif+json")
        told = told_findings(found.found, complete=found.complete)
        return JSONResponse({"object": "security.scan", **told})

    return router


async def scanned(body: ScanBody) -> Scan:
    """What is found in the files. Raises UserError for rules that are none, and where Bandit is asked for and not there."""
    rules = RuleSet(named_rules(body.rules, "rules", body.without))
    bandit = Bandit() if body.bandit else None
    if bandit is not None and not bandit.available:
        raise UserError(
            "Bandit is not installed on this server; leave bandit out, or install dovetail[bandit].",
            code="unsupported_parameter",
            param="bandit",
        )
    scans: list[Scan] = []
    for file in body.files:
        scan = await asyncio.to_thread(scan_file, rules, file.path, file.content, file.base)
        if bandit is not None and file.path.endswith((".py", ".pyi")):
            scan = await bandit.beside(scan, file.path, file.content, file.base)
        scans.append(scan)
    return Scan(tuple(each for scan in scans for each in scan.found), all(scan.complete for scan in scans))
