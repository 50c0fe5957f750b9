"""The answer of /v1/edits from a finished output: checked once more, independently of the engine, and reported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import structlog

from dovetail.serve.api.edits.policy import PolicyRefused
from dovetail.serve.api.generation import Output
from dovetail.serve.api.logprobs import LEAST
from dovetail.serve.edit.block import Block, EditError, Edits, Operation
from dovetail.serve.edit.formats.registry import FORMATS
from dovetail.serve.edit.landing.job import Job
from dovetail.serve.edit.landing.process import LANDINGS_HERE, Landings
from dovetail.serve.edit.view import restored, views_of
from dovetail.serve.errors import EngineError
from dovetail.serve.govern.findings.outside import scan_file
from dovetail.serve.govern.findings.rules import RuleSet
from dovetail.serve.govern.findings.scan import Scan
from dovetail.serve.types import ConstraintReport, EditSpec, Finding, Origin, SourceFile, Syntax

log: structlog.stdlib.BoundLogger = structlog.get_logger("dovetail.api")

ORIGINS: tuple[Origin, ...] = ("sampled", "drafted", "forced", "resampled")


@dataclass(frozen=True)
class Landed:
    """Edits that passed the check, the files that they change, and the text in the format that was asked for."""

    edits: Edits
    changed: tuple[SourceFile, ...]
    patch: str
    syntax: dict[str, Syntax]
    unchecked: dict[str, str]
    text: str
    findings: tuple[Finding, ...] = ()

    @property
    def count(self) -> int:
        """Edits, operations on whole files included."""
        return len(self.edits.blocks) + len(self.edits.operations)


NOTHING = Landed(edits=Edits((), ()), changed=(), patch="", syntax={}, unchecked={}, text="")
"""What is told where edits are withheld."""


class GuaranteeViolated(EngineError):
    """An output broke the promise of /v1/edits: a bug here, caught before it reached a client."""

    default_status = 500
    default_code = "guarantee_violated"


def violation(error: EditError | PolicyRefused) -> GuaranteeViolated:
    """What a client is told of an output that is no valid edit; the log has the rest."""
    log.error("guarantee violated", reason=error.code, message=error.message)
    return GuaranteeViolated(
        f"The output was no valid edit and is not returned: {error.message} "
        "This is a defect of the server; please report it."
    )


def land(
    text: str, spec: EditSpec, landings: Landings = LANDINGS_HERE, unchecked: Mapping[str, str] = MappingProxyType({})
) -> Landed:
    """Apply an output to the files. Trusts nothing that the constraint did, but for what it could not check."""
    form = FORMATS[spec.format]
    views = views_of(spec.files, spec.line_ends)
    written = form.completed(text)
    try:
        edits = restored(form.read(written, [view.file for view in views.values()], spec.markers), views)
        _check_rules(edits, spec)
        after = landings.land(
            Job(
                files=spec.files,
                edits=edits,
                syntax=spec.syntax,
                protected=spec.protected,
                policy=spec.policy,
                unchecked=dict(unchecked),
            )
        )
    except EditError as error:
        raise violation(error) from error
    if after.refused:
        raise violation(PolicyRefused(after.refused))
    return Landed(
        edits=edits,
        changed=after.changed,
        patch=after.patch,
        syntax=after.syntax,
        unchecked=after.unchecked,
        text=written if as_written(spec) else form.render(spec.files, edits, spec.markers),
        findings=after.reported,
    )


def as_written(spec: EditSpec) -> bool:
    """Whether the edits are answered in the very text that the model writes: not where files are read otherwise than they are."""
    return spec.format != "unified_diff" and all(view.same for view in views_of(spec.files, spec.line_ends).values())


def scan_of(rules: RuleSet, files: Sequence[SourceFile], landed: Landed) -> Scan:
    """What the changed files hold that they did not hold before."""
    before = {file.path: file.content for file in files}
    moved = {each.to: each.path for each in landed.edits.operations if each.kind == "rename"}
    scans = [
        scan_file(rules, file.path, file.content, before.get(moved.get(file.path, file.path)))
        for file in (landed.changed if rules else ())
    ]
    return Scan(tuple(each for scan in scans for each in scan.found), all(scan.complete for scan in scans))


def _check_rules(edits: Edits, spec: EditSpec) -> None:
    for number, operation in enumerate(edits.operations):
        if operation.kind not in spec.operations:
            raise EditError(number, operation.path, "whole_file", f"it was not asked to {operation.kind} a file.")
    for index, block in enumerate(edits.blocks):
        if block.anchored and block.search:
            raise EditError(index, block.path, "ambiguous", "what it quotes is there more than once.")


def unchecked_of(unchecked: Mapping[str, str]) -> dict[str, Any]:
    """Files whose syntax nobody could check, and why; nothing if there are none."""
    return {"unchecked": dict(unchecked)} if unchecked else {}


def edit_of(block: Block) -> dict[str, Any]:
    """One entry of ``edits``."""
    return {
        "path": block.path,
        "search": block.search,
        "replace": block.replace,
        "start_line": block.start_line,
        "end_line": block.end_line,
    }


def operation_of(operation: Operation) -> dict[str, Any]:
    """One entry of ``operations``."""
    more = {"create": {"content": operation.content}, "rename": {"to": operation.to}}.get(operation.kind, {})
    return {"kind": operation.kind, "path": operation.path, **more}


def edits_of(edits: Edits) -> dict[str, Any]:
    """What all answers with edits have in common."""
    return {
        "edits": [edit_of(block) for block in edits.blocks],
        "operations": [operation_of(each) for each in edits.operations],
    }


def constraint_of(output: Output, landed: Landed) -> dict[str, Any]:
    """What the constraint did, and how the tokens of the final output came to be."""
    report = output.constraint or ConstraintReport()
    origins = Counter(output.origins)
    return {
        "min_z": report.min_z,
        "sum_log_z": max(report.sum_log_z, LEAST) if report.sum_log_z is not None else None,
        "rollbacks": report.rollbacks,
        "forced": report.forced,
        "resampled": report.resampled,
        "drafted": output.usage.drafted,
        "accepted": output.usage.accepted,
        "truncated": report.truncated,
        "overruled": report.overruled,
        "distorted": report.distorted,
        "syntax": landed.syntax,
        **unchecked_of(landed.unchecked),
        "origins": {origin: origins[origin] for origin in ORIGINS},
    }
