"""Findings and declines where they are counted and recorded: /metrics and the request's audit trail. Decides nothing."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from dovetail.serve.api.access.visit import visiting
from dovetail.serve.api.http.metrics import Metrics
from dovetail.serve.govern.declines.judge import Decline
from dovetail.serve.govern.findings.scan import Found
from dovetail.serve.govern.findings.tool_results import Suspicion


def note_found(metrics: Metrics, found: Iterable[Found], suspicious: Iterable[Suspicion] = ()) -> None:
    """What an answer was told of. An answer that a finding ends is the policy's decision."""
    trail = visiting().trail
    for each in found:
        metrics.findings.labels(each.id, each.action).inc()
        trail.add("findings", msgspec.to_builtins(each))
        if each.action == "block":
            trail.decision = "policy"
    for other in suspicious:
        metrics.suspicions.labels(other.id).inc()
        trail.add("findings", msgspec.to_builtins(other))


def note_decline(metrics: Metrics, found: Decline) -> None:
    """A request was declined."""
    metrics.declines.labels(found.clause.id, found.by).inc()
    trail = visiting().trail
    trail.decision = "decline"
    trail.add("findings", {"clause": found.clause.id, "by": found.by, "rule": found.rule})
