"""Rung: tests stay tests: none is deleted, skipped or emptied of its assertions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from dovetail.agent.checks.case import Case, Change
from dovetail.agent.checks.finding import Finding
from dovetail.agent.repo.facts import FileFacts
from dovetail.agent.repo.testfiles import is_test

_SKIPS = re.compile(
    r"\b(?:pytest\.(?:skip|mark\.(?:skip|skipif|xfail)|xfail)|unittest\.(?:skip|skipIf|expectedFailure)|self\.skipTest"
    r"|(?:it|test|describe)\.(?:skip|todo)|x(?:it|describe|test)\(|t\.Skip(?:Now|f)?\(|#\[ignore|@Disabled|@Ignore"
    r"|collect_ignore|__test__\s*=\s*False)"
)
_ASSERTS = re.compile(r"\bassert|\bexpect\s*\(|\braises\b|\bt\.(?:Error|Fatal)|\bshould\b|\bverify\(")
_TEST_NAME = re.compile(r"^(?:test|Test|it_|should_)|Test$|_test$")


class KeptTests:
    """Counts tests, skips and assertions of changed test files."""

    name = "tests kept"

    def findings(self, case: Case) -> Sequence[Finding]:
        """What the edit takes away from the tests."""
        if case.grants.tests:
            return []
        found: list[Finding] = []
        for path, change in case.changes.items():
            before = case.before.files.get(path)
            if before is not None and is_test(path, before.language):
                found += list(self._file(before, case.after.files.get(path), change))
        return found

    def _file(self, before: FileFacts, after: FileFacts | None, change: Change) -> Iterator[Finding]:
        path = before.path
        gone = sorted(_tests(before) - (_tests(after) if after is not None else set()))
        for name in gone:
            yield Finding(self.name, f"the test {name} would be gone", path)
        old, new = change.before or "", change.after or ""
        if len(_SKIPS.findall(new)) > len(_SKIPS.findall(old)):
            yield Finding(self.name, "tests would be skipped that ran before", path)
        lost = len(_ASSERTS.findall(old)) - len(_ASSERTS.findall(new))
        if lost > 0 and not gone:
            yield Finding(self.name, f"{lost} assertions fewer than before", path)


def _tests(facts: FileFacts) -> set[str]:
    return {symbol.qualified for symbol in facts.definitions if _TEST_NAME.search(symbol.name)}
