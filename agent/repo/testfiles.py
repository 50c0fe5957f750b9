"""Which files are tests, judged by the names that test runners look for."""

from __future__ import annotations

import re

_BY_LANGUAGE: dict[str, re.Pattern[str]] = {
    "python": re.compile(r"(^|/)(test_[^/]*|[^/]*_test|tests)\.py$"),
    "javascript": re.compile(r"(\.(test|spec)\.[mc]?jsx?$)|(^|/)__tests__/"),
    "typescript": re.compile(r"(\.(test|spec)\.[mc]?ts$)|(^|/)__tests__/"),
    "tsx": re.compile(r"(\.(test|spec)\.tsx$)|(^|/)__tests__/"),
    "go": re.compile(r"_test\.go$"),
    "rust": re.compile(r"(^|/)tests/[^/]+\.rs$|(^|/)tests?\.rs$"),
    "java": re.compile(r"(^|/)src/test/|(^|/)[^/]*(Test|Tests|IT)\.java$"),
    "c": re.compile(r"(^|/)(test_[^/]*|[^/]*_test)\.c$"),
    "cpp": re.compile(r"(^|/)(test_[^/]*|[^/]*_(unit)?test|[^/]*Test)\.(cc|cpp|cxx)$"),
    "c-sharp": re.compile(r"(^|/)[^/]*Tests?\.cs$"),
    "ruby": re.compile(r"(^|/)(test_[^/]*|[^/]*_(test|spec))\.rb$"),
    "php": re.compile(r"(^|/)[^/]*Test\.php$"),
}
_FOLDER = re.compile(r"(^|/)(tests?|spec|__tests__|testing)/", re.IGNORECASE)


def is_test(path: str, language: str) -> bool:
    """Whether a test runner of the language would run this file."""
    pattern = _BY_LANGUAGE.get(language)
    return pattern is not None and pattern.search(path) is not None


def supports_tests(path: str, language: str) -> bool:
    """Whether the file is a test or lies among tests: fixtures, helpers, data."""
    return is_test(path, language) or _FOLDER.search(path) is not None
