"""The wish of a request to have its answer scanned, and how answers tell what was found. Scans nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from dovetail.serve.edit.policy.combine import Policy
from dovetail.serve.govern.findings.rules import RuleSet, named_rules, policy_rules
from dovetail.serve.govern.findings.sarif import sarif
from dovetail.serve.govern.findings.scan import Found


class SecurityField(BaseModel):
    """Which rules are asked of the answer's code, and what becomes of a finding. The server's policy holds anyway.

    ``language``: the answer of a completion is code of that language throughout; else fences say where code is.
    ``canary``: a word that only the system prompt holds; a tool's result that holds it is told of.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    rules: Annotated[list[str], Field(min_length=1, max_length=200)] = ["default"]
    without: Annotated[list[str], Field(max_length=200)] = []
    mode: Literal["report", "block"] = "report"
    sarif: bool = False
    language: str | None = None
    canary: Annotated[str, Field(min_length=8, max_length=200)] | None = None


def rules_for(policy: Policy | None, asked: SecurityField | None) -> RuleSet:
    """The rules of the server's policy and of a request together. Raises UserError for names that mean no rule."""
    server = policy_rules(policy)
    if asked is None:
        return server
    own = named_rules(asked.rules, "security.rules", asked.without)
    return server.also(RuleSet(own, frozenset(rule.id for rule in own) if asked.mode == "block" else frozenset()))


def told_findings(
    found: Sequence[Found], asked: SecurityField | None = None, *, complete: bool = True, blocked: bool = False
) -> dict[str, Any]:
    """The ``security`` of an answer."""
    told: dict[str, Any] = {
        "findings": [msgspec.to_builtins(each) for each in found],
        "blocked": blocked,
        "complete": complete,
    }
    if asked is not None and asked.sarif:
        told["sarif"] = sarif(found)
    return told
