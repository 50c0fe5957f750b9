"""What a check holds against an edit, as one line with the nearest code. Checks nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dovetail.agent.repo.text import printable

_LONGEST = 300


@dataclass(frozen=True)
class Finding:
    """One objection. ``line`` 0: it belongs to no line; ``code``: the text that it is about."""

    rung: str
    message: str
    path: str = ""
    line: int = 0
    code: str = ""

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}: " if self.line else f"{self.path}: " if self.path else ""
        code = f" | {self.code.strip()}" if self.code.strip() else ""
        return printable(f"{place}{self.message}{code}")[:_LONGEST]

    @property
    def identity(self) -> tuple[str, str, str]:
        """What makes it the same objection after lines were moved."""
        return (self.rung, self.path, self.message)


def new_ones(before: Iterable[Finding], after: Iterable[Finding]) -> list[Finding]:
    """The findings of ``after`` that were not there before: each old one takes away one like it."""
    known = Counter(finding.identity for finding in before)
    found = []
    for finding in after:
        if known[finding.identity]:
            known[finding.identity] -= 1
        else:
            found.append(finding)
    return found


def nearest_code(text: str | None, line: int) -> str:
    """The line of code that a finding is about; empty where there is none."""
    lines = (text or "").split("\n")
    return lines[line - 1].strip() if 0 < line <= len(lines) else ""


def evidence(findings: Sequence[Finding], most: int = 5) -> str:
    """The first findings, one a line: what a repair is told."""
    rest = len(findings) - most
    return "\n".join([*map(str, findings[:most]), *([f"... and {rest} more"] if rest > 0 else [])])
