"""Rung: tests stay tests: none is deleted, skipped, emptied of its assertions, or rewritten until it passes."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence

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


def rewritten(case: Case, mended: Collection[str]) -> Iterator[Finding]:
    """Of tests that failed before and pass now (by id, as pytest has them), those whose own text the edit changes."""
    if case.grants.tests:
        return
    for name in sorted(mended):
        path, _, inner = name.partition("::")
        qualified = inner.partition("[")[0].replace("::", ".")
        if path in case.changes and _source(case, path, qualified, False) != _source(case, path, qualified, True):
            said = (
                f"{qualified} failed before and would be rewritten: mend the code (the user may --allow-test-changes)"
            )
            yield Finding(KeptTests.name, said, path)


def _source(case: Case, path: str, qualified: str, after: bool) -> str:
    """The lines of one definition."""
    facts = (case.after if after else case.before).files.get(path)
    text = case.changes[path].after if after else case.changes[path].before
    found = [symbol for symbol in facts.definitions if symbol.qualified == qualified] if facts is not None else []
    return "\n".join(line for each in found for line in (text or "").split("\n")[each.line - 1 : each.last_line])


def _tests(facts: FileFacts) -> set[str]:
    return {symbol.qualified for symbol in facts.definitions if _TEST_NAME.search(symbol.name)}
