"""Rung: no new import against the repository's layers and contexts, and no import of what is not there."""

from __future__ import annotations

from collections.abc import Sequence

from dovetail.agent.checks.case import Case
from dovetail.agent.checks.finding import Finding
from dovetail.agent.repo.layers import Violation


class Layering:
    """Violations by the index, compared by file, target and rule."""

    name = "layers"

    def findings(self, case: Case) -> Sequence[Finding]:
        """New imports against the rules."""
        known = {_key(violation) for violation in case.before.layers.violations()}
        inferred = "" if case.before.layers.declared else " (layers as the imports suggest them)"
        return [
            Finding(self.name, f"imports {found.module}: {found.rule}{inferred}", found.path, found.line)
            for found in case.after.layers.violations()
            if _key(found) not in known and found.path in case.changes
        ]


def _key(violation: Violation) -> tuple[str, str, str]:
    return violation.path, violation.target or violation.module, violation.rule
