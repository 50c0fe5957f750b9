"""Rung: an edit stays within the plan's files, away from protected ones, and of a size that a person can read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

from dovetail.agent.checks.case import Case, Change
from dovetail.agent.checks.finding import Finding
from dovetail.agent.repo.globs import matches

PROTECTED = (
    ".git/**", "**/.git/**", ".gitmodules", "**/.gitattributes", "dovetail.toml", "policy.toml", ".dovetail/**",
    ".github/**", ".gitlab-ci.yml", "**/.env", "**/.env.*", "**/*.pem", "**/*.key", "**/id_rsa*", ".venv/**", "venv/**",
    "node_modules/**", "**/sitecustomize.py", "**/usercustomize.py", "**/*.pth",
)  # fmt: skip
"""Files that no edit touches unless the user names them."""

TEST_SETUP = (
    "**/conftest.py", "pytest.ini", "tox.ini", "noxfile.py", "**/jest.config.*",
    "**/vitest.config.*", "pyproject.toml", "setup.cfg", "setup.py", "package.json", "makefile",
)  # fmt: skip
"""Files that decide how the project is built and tested: changing them can turn any failure green."""

MOST_LINES = 1000
_SECRET = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----|\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{36}\b")
_TEXT_SIZE = 2 << 20


def is_protected(path: str) -> bool:
    """Whether a path is one that edits keep away from."""
    return matches(path.lower(), (*PROTECTED, *TEST_SETUP))


class Policy:
    """Paths, sizes, secrets."""

    name = "policy"

    def findings(self, case: Case) -> Sequence[Finding]:
        """What the edit may not do."""
        found = []
        for path, change in case.changes.items():
            found += list(self._file(case, path, change))
        lines = sum(changed_lines(change) for change in case.changes.values())
        if lines > MOST_LINES:
            found.append(Finding(self.name, f"changes {lines} lines; at most {MOST_LINES} at a time"))
        return found

    def _file(self, case: Case, path: str, change: Change) -> Iterator[Finding]:
        if path not in case.allowed:
            yield Finding(self.name, "is none of the files that the plan names", path)
        if is_protected(path) and path not in case.grants.paths:
            yield Finding(self.name, "is protected; only the user can allow its change (--allow)", path)
        if change.after is None:
            yield Finding(self.name, "would be deleted; only the user deletes files", path)
            return
        if len(change.after) > _TEXT_SIZE or "\0" in change.after:
            yield Finding(self.name, "would become too large, or binary", path)
        if _SECRET.search(change.after) and not _SECRET.search(change.before or ""):
            yield Finding(self.name, "would hold what looks like a secret key", path)


def changed_lines(change: Change) -> int:
    """Lines taken away and lines added."""
    before, after = (change.before or "").splitlines(), (change.after or "").splitlines()
    if len(before) + len(after) > 20_000:
        return len(set(before) ^ set(after))
    codes = SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    return sum((b - a) + (d - c) for tag, a, b, c, d in codes if tag != "equal")
