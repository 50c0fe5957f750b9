"""Tells a request's trail which files edits changed, and what was found in them. Decides nothing."""

from __future__ import annotations

from collections.abc import Sequence

from dovetail.serve.api.edits.policy import finding_of
from dovetail.serve.edit.block import Edits
from dovetail.serve.govern.audit.trail import Trail
from dovetail.serve.types import Finding, SourceFile


def note_edits(trail: Trail, edits: Edits, changed: Sequence[SourceFile], findings: Sequence[Finding]) -> None:
    """Paths, digests and findings of edits that stand."""
    for file in changed:
        trail.edit("change", file.path, file.content)
    for operation in edits.operations:
        if operation.kind != "create":
            trail.edit(operation.kind, operation.path, "")
    note_findings(trail, findings)


def note_findings(trail: Trail, findings: Sequence[Finding]) -> None:
    """What rules found in a file, or kept the model from."""
    for each in findings:
        trail.add("findings", finding_of(each))
