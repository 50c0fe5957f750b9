"""Rung: every changed file parses as well as before."""

from __future__ import annotations

import ast
import json
import tomllib
from collections.abc import Iterator, Sequence

from dovetail.agent.checks.case import Case
from dovetail.agent.checks.finding import Finding, nearest_code, new_ones


class Parses:
    """Tree-sitter's errors by the index; for Python, JSON and TOML their own parsers too."""

    name = "parses"

    def findings(self, case: Case) -> Sequence[Finding]:
        """New syntax errors in changed files."""
        found: list[Finding] = []
        for path, change in case.changes.items():
            facts = [index.files[path].errors if path in index.files else () for index in (case.before, case.after)]
            before, after = (
                [Finding(self.name, f"syntax error: {fault.what}", path, fault.line) for fault in faults]
                for faults in facts
            )
            before += self._own(path, change.before)
            after += self._own(path, change.after)
            for finding in new_ones(before, after):
                code = nearest_code(change.after, finding.line)
                found.append(Finding(self.name, finding.message, path, finding.line, code))
        return found

    def _own(self, path: str, text: str | None) -> Iterator[Finding]:
        if text is None:
            return
        try:
            if path.endswith((".py", ".pyi")):
                ast.parse(text)
            elif path.endswith(".json"):
                json.loads(text)
            elif path.endswith(".toml"):
                tomllib.loads(text)
        except SyntaxError as error:
            yield Finding(self.name, f"does not parse: {error.msg}", path, error.lineno or 0)
        except (ValueError, RecursionError) as error:
            yield Finding(self.name, f"does not parse: {str(error).splitlines()[0]}", path)
