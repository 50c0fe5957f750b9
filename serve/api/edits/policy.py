"""The policy of a request, and what an answer says of it: which documents held, what was decided where, what was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from dovetail.serve.edit.policy.combine import Policy
from dovetail.serve.edit.policy.document import CallRule, FindingsMode, ImportRule, PatternRule, request_policy
from dovetail.serve.errors import UserError
from dovetail.serve.types import Decided, Finding, SourceFile

LIMITS = (
    "Syntax only. Aliases, getattr, reflection, computed names, strings that become code and dynamic imports are not "
    "followed; languages without a grammar are not read. What a file had before an edit is not held against the edit."
)


class PolicyRefused(UserError):
    """Edits made elsewhere that a policy does not let stand."""

    default_status = 422
    default_code = "edit_policy"

    def __init__(self, findings: Sequence[Finding]) -> None:
        first = findings[0]
        where = f"{first.path}:{first.line}: " if first.line else f"{first.path}: " if first.path else ""
        more = f" ({len(findings) - 1} more)" if len(findings) > 1 else ""
        message = f"The policy refuses these edits: {where}{first.message} [{first.id}]{more} Nothing was applied."
        super().__init__(message, param="text")
        self.findings = tuple(findings)


def policy_for(server: Policy | None, given: Mapping[str, Any] | None) -> Policy | None:
    """The server's policy and the request's, together; None if there is neither. A request only narrows.

    Raises:
        PolicyError: the request's cannot be used.
    """
    if given is None:
        return server
    document = request_policy(given)
    return server.also(document) if server is not None else Policy((document,))


def report_of(
    policy: Policy | None,
    files: Sequence[SourceFile],
    findings: Sequence[Finding],
    *,
    decoded: bool,
    vetoes: Sequence[Finding] = (),
) -> dict[str, Any]:
    """The ``policy`` of an answer; nothing if there is none. ``decoded``: the edits were made here, under the policy,
    which kept the model from ``vetoes``.
    """
    if policy is None:
        return {}
    return {
        "policy": {
            "digest": policy.digest,
            "documents": [document.digest for document in policy.documents],
            "decided": [{"rule": rule, "when": when if decoded else "after"} for rule, when in _decided(policy)],
            "closed": [file.path for file in files if not policy.may_edit(file.path)],
            "findings": [finding_of(each) for each in findings],
            **({"refused": [finding_of(each) for each in vetoes]} if decoded else {}),
            "limits": LIMITS,
        }
    }


def finding_of(finding: Finding) -> dict[str, Any]:
    """One entry of ``findings``."""
    fields: dict[str, Any] = msgspec.structs.asdict(finding)
    return fields


def _decided(policy: Policy) -> list[tuple[str, Decided]]:
    """Where each part of the policy is decided while decoding. What is decided at a line's end, the terminator asks again."""
    parts: list[tuple[str, Decided, bool]] = [
        ("paths", "decoding", True),
        ("protected", "decoding", any(each.protected for each in policy.documents)),
        ("limits.files", "decoding", policy.limits.files is not None),
        ("limits.changed_lines", "terminator", policy.limits.changed_lines is not None),
        ("limits.changed_lines_per_file", "terminator", policy.limits.changed_lines_per_file is not None),
        ("api.freeze", "terminator", any(each.api.freeze for each in policy.documents)),
    ]
    own: list[ImportRule | CallRule | PatternRule] = [*policy.imports, *policy.calls]
    modes: list[tuple[str, FindingsMode]] = []
    for document in policy.documents:
        own += document.patterns
        modes += [("findings.rules", document.findings.mode)] if document.findings.rules else []
    modes = [*((rule.id, rule.mode) for rule in own), *dict.fromkeys(modes)]
    return [
        *((name, when) for name, when, there in parts if there),
        *((name, "terminator" if mode == "refuse" else "after") for name, mode in modes),
    ]
