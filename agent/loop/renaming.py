"""A rename: which lines may change, what of an answer is taken, and the rung that asks whether it is complete and nothing else."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from dovetail.agent.checks.case import Case
from dovetail.agent.checks.finding import Finding, nearest_code
from dovetail.agent.repo.index import RepoIndex

_AROUND = 3
"""Lines beside a use that stay open where the use's own line is not unique: an edit has to quote something that is."""


class Renaming:
    """One name that becomes another, everywhere."""

    name = "renamed"

    def __init__(self, old: str, new: str) -> None:
        self.old, self.new = old, new
        self._old = _word(old)
        self._new = _word(new)

    def closed(self, text: str) -> list[tuple[int, int]]:
        """Ranges of lines that no edit touches: those that have nothing to do with the name."""
        lines = text.split("\n")
        lines = lines[:-1] if lines[-1] == "" else lines
        often = Counter(lines)
        open_lines: set[int] = set()
        for number, line in enumerate(lines, 1):
            if self._old.search(line):
                around = 0 if often[line] == 1 else _AROUND
                open_lines.update(range(number - around, number + around + 1))
        return list(_ranges([number for number in range(1, len(lines) + 1) if number not in open_lines]))

    def taken(self, before: str, answer: str) -> str:
        """What of an answer is taken: the lines in which nothing but the name changed."""
        old, new = before.split("\n"), answer.split("\n")
        if len(old) != len(new):
            return before
        return "\n".join(now if self.only_renamed(was, now) else was for was, now in zip(old, new, strict=True))

    def left(self, text: str) -> int:
        """How often the old name stands in a text as a word."""
        return len(self._old.findall(text))

    def only_renamed(self, before: str, after: str) -> bool:
        """Whether the texts are the same but for the one name standing where the other stood."""
        return self._new.sub(self.old, after) == self._new.sub(self.old, before)

    def findings(self, case: Case) -> Sequence[Finding]:
        """Uses that were left, and changes beyond the name."""
        found: list[Finding] = []
        for path, change in case.changes.items():
            if not self.only_renamed(change.before or "", change.after or ""):
                found.append(Finding(self.name, f"more than the name {self.old} would change", path))
        for path in sorted(case.allowed):
            text = case.changes[path].after if path in case.changes else None
            for line in uses_left(case.after, path, self.old):
                code = nearest_code(text, line)
                found.append(Finding(self.name, f"still uses {self.old}", path, line, code))
        return found


def uses_left(index: RepoIndex, path: str, name: str) -> list[int]:
    """The lines of a file that define or use a name."""
    facts = index.files.get(path)
    if facts is None:
        return []
    defined = {symbol.line for symbol in facts.definitions if symbol.name == name}
    return sorted(defined | {use.line for use in facts.references_to(name)})


def _word(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w$]){re.escape(name)}(?![\w$])")


def _ranges(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    first = last = 0
    for number in numbers:
        if number != last + 1 or not first:
            if first:
                yield first, last
            first = number
        last = number
    if first:
        yield first, last
