"""Findings as SARIF 2.1.0, the format that code scanners' reports are exchanged in. Finds nothing itself."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from dovetail import __version__
from dovetail.serve.govern.findings.scan import Found

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVELS = {"low": "note", "medium": "warning", "high": "error", "critical": "error"}
_SCORES = {"low": "3.0", "medium": "5.5", "high": "8.0", "critical": "9.5"}
"""``security-severity``, as code hosts show it."""


def sarif(found: Sequence[Found]) -> dict[str, Any]:
    """One run with its rules and results."""
    rules = list({each.id: each for each in found}.values())
    places = {rule.id: index for index, rule in enumerate(rules)}
    driver = {
        "name": "dovetail",
        "version": __version__,
        "rules": [_rule(each) for each in rules],
    }
    results = [_result(each, places[each.id]) for each in found]
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(found: Found) -> dict[str, Any]:
    return {
        "id": found.id,
        "shortDescription": {"text": found.message},
        "help": {"text": found.fix or found.message},
        "defaultConfiguration": {"level": _LEVELS[found.severity]},
        "properties": {"tags": ["security", found.cwe], "security-severity": _SCORES[found.severity]},
    }


def _result(found: Found, index: int) -> dict[str, Any]:
    region = {"startLine": found.line, "startColumn": found.column, "endLine": found.end_line}
    location = {"artifactLocation": {"uri": found.path or "answer"}, "region": region}
    return {
        "ruleId": found.id,
        "ruleIndex": index,
        "level": _LEVELS[found.severity],
        "message": {"text": f"{found.message} {found.fix}".strip()},
        "locations": [{"physicalLocation": location}],
        "partialFingerprints": {"code/v1": hashlib.sha256(f"{found.id}\0{found.key}".encode()).hexdigest()},
        "properties": {"action": found.action, "cwe": found.cwe, "tools": list(found.tools)},
    }
