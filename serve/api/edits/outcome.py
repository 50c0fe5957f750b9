"""A finished edit output: landed, scanned, counted, and told in the words that all answers with edits share. Asks no engine."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from dovetail.serve.api.access.visit import visiting
from dovetail.serve.api.context import ApiContext
from dovetail.serve.api.edits.asking import Held
from dovetail.serve.api.edits.notes import note_edits
from dovetail.serve.api.edits.policy import report_of
from dovetail.serve.api.edits.report import (
    NOTHING,
    GuaranteeViolated,
    Landed,
    constraint_of,
    edits_of,
    land,
    scan_of,
)
from dovetail.serve.api.edits.trace import Trace
from dovetail.serve.api.generation import Output
from dovetail.serve.api.security.fields import told_findings
from dovetail.serve.api.security.notes import note_found


@dataclass(frozen=True)
class Outcome:
    """What has come of an output. ``security``: what was found in its new code; None: nobody asked. ``blocked``: it is withheld."""

    landed: Landed
    told: dict[str, Any]
    security: dict[str, Any] | None = None
    blocked: bool = False


async def outcome_of(context: ApiContext, held: Held, output: Output, trace: Trace) -> Outcome:
    """Land, scan and tell a finished ``output``. Raises GuaranteeViolated."""
    unchecked = output.constraint.unchecked if output.constraint is not None else {}
    with violations_counted(context):
        landed = await asyncio.to_thread(land, output.text, held.spec, context.landings, unchecked)
    scan = await asyncio.to_thread(scan_of, held.rules, held.spec.files, landed)
    note_found(context.metrics, scan.found)
    blocked = any(each.action == "block" for each in scan.found)
    if blocked:
        landed = NOTHING
    context.metrics.edits.inc(landed.count)
    told = told_edits(held, output, landed)
    if held.trace and not blocked:
        told["tokens"] = trace.tokens
    if not held.rules:
        return Outcome(landed, told)
    found = told_findings(scan.found, held.security, complete=scan.complete, blocked=blocked)
    return Outcome(landed, told, found, blocked)


def told_edits(held: Held, output: Output, landed: Landed) -> dict[str, Any]:
    """What every answer says of its edits; noted in the request's trail."""
    vetoes = output.constraint.vetoes if output.constraint is not None else ()
    note_edits(visiting().trail, landed.edits, landed.changed, (*landed.findings, *vetoes))
    return {
        "format": held.spec.format,
        **edits_of(landed.edits),
        "files": [{"path": file.path, "content": file.content} for file in landed.changed],
        "patch": landed.patch,
        "constraint": constraint_of(output, landed),
        **report_of(held.policy, held.spec.files, landed.findings, decoded=True, vetoes=vetoes),
    }


@contextmanager
def violations_counted(context: ApiContext) -> Iterator[None]:
    """Around what may find that an output is no valid edit."""
    try:
        yield
    except GuaranteeViolated as error:
        context.metrics.violations.inc()
        visiting().trail.code = error.code
        raise
