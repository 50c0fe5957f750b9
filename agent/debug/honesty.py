"""Rung: a repair may not make a failure go away by asking less: no check is taken out, none is silenced."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence

from dovetail.agent.checks.case import Case, Change
from dovetail.agent.checks.finding import Finding

_ENDS = re.compile(r"\b(?:sys\.exit|os\._exit|process\.exit|os\.Exit|std::process::exit|System\.exit|exit)\s*\(")
_TEST_AWARE = re.compile(
    r"PYTEST_CURRENT_TEST|['\"](?:pytest|unittest)['\"] in sys\.modules|JEST_WORKER_ID|NODE_ENV['\"]?\]? ?===? ?['\"]test"
    r"|testing\.Testing\(\)|cfg!\(test\)"
)
_SKIP = re.compile(r"\bpytest\.(?:skip|xfail|exit)\b|\bunittest\.SkipTest\b|\bSkipTest\(")
_ASSERT = re.compile(r"^\s*(?:assert\b|debug_assert|assert\w*!?\s*\(|static_assert)", re.MULTILINE)
_PATTERNS = (
    (_ENDS, "ends the program where it did not before"),
    (_TEST_AWARE, "asks whether a test is running"),
    (_SKIP, "skips tests from the code that they test"),
)


class Honesty:
    """Counts assertions, silent handlers and ways out in the changed files, before and after."""

    name = "honesty"

    def findings(self, case: Case) -> Sequence[Finding]:
        """What the edit silences."""
        return [finding for path, change in case.changes.items() for finding in self._file(path, change)]

    def _file(self, path: str, change: Change) -> Iterator[Finding]:
        old, new = change.before or "", change.after or ""
        lost = len(_ASSERT.findall(old)) - len(_ASSERT.findall(new))
        if lost > 0:
            yield Finding(self.name, f"takes out {lost} assertion{'s' if lost > 1 else ''}", path)
        if path.endswith(".py") and _silent(new) > _silent(old):
            yield Finding(self.name, "swallows every exception in a new place", path)
        for pattern, what in _PATTERNS:
            if len(pattern.findall(new)) > len(pattern.findall(old)):
                yield Finding(self.name, what, path)


def _silent(text: str) -> int:
    """Handlers of every exception that do not raise again."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return 0
    return sum(
        isinstance(node, ast.ExceptHandler)
        and _catches_all(node.type)
        and not any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
        for node in ast.walk(tree)
    )


def _catches_all(kind: ast.expr | None) -> bool:
    names = kind.elts if isinstance(kind, ast.Tuple) else [kind]
    return any(
        name is None or (isinstance(name, ast.Name) and name.id in ("Exception", "BaseException", "AssertionError"))
        for name in names
    )


def special_cases(change: Change, test_source: str) -> list[str]:
    """Values of the failing test that the edit newly compares with: it may fit that test alone. Python only."""
    before, after = _compared(change.before or ""), _compared(change.after or "")
    return sorted(value for value in after - before if value in test_source)


def _compared(text: str) -> set[str]:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return set()
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and any(isinstance(each, ast.Eq | ast.In) for each in node.ops):
            for each in (node.left, *node.comparators):
                constants = [one for one in ast.walk(each) if isinstance(one, ast.Constant)]
                found |= {
                    repr(one.value) for one in constants if one.value not in (None, True, False, 0, 1, -1, "", b"")
                }
    return found
