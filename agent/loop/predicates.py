"""Whether a requirement's predicate holds in a tree: names and texts, read from the index. Runs nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dovetail.agent.checks.case import Case
from dovetail.agent.checks.finding import Finding, nearest_code
from dovetail.agent.loop.requirements import Requirement
from dovetail.agent.repo.index import RepoIndex

PREDICATES = ("defines", "gone", "contains", "lacks", "renamed")


def holds(requirement: Requirement, index: RepoIndex, text: Callable[[str], str | None]) -> bool:
    """Whether it holds in the tree that the index and ``text`` show."""
    target = requirement.target
    if requirement.check == "defines":
        return bool(index.definitions(target))
    if requirement.check == "gone":
        return not index.definitions(target) and not index.references(target)
    if requirement.check == "renamed":
        old, new = target.split()
        return not index.definitions(old) and not index.references(old) and bool(index.definitions(new))
    held = text(requirement.path)
    if held is None:
        return False
    return (target in held) == (requirement.check == "contains")


def describe(requirement: Requirement) -> str:
    """What is looked for, in words."""
    target = requirement.target
    if requirement.check == "renamed":
        old, new = target.split()
        return f"no definition or use of {old} is left, and {new} is defined"
    return {
        "defines": f"{target} is defined",
        "gone": f"no definition or use of {target} is left",
        "contains": f"{requirement.path} contains {target!r}",
        "lacks": f"{requirement.path} does not contain {target!r}",
    }[requirement.check]


@dataclass(frozen=True)
class Renamed:
    """Rung for a rename: in each changed file only that name changed, and no use of the old one is left there."""

    old: str
    new: str
    name: str = "renamed"

    def findings(self, case: Case) -> Sequence[Finding]:
        """Uses that were left, and changes beyond the name."""
        found: list[Finding] = []
        for path, change in case.changes.items():
            before, after = change.before or "", change.after or ""
            if not only_renamed(before, after, self.old, self.new):
                found.append(Finding(self.name, f"more than the name {self.old} would change", path))
            found += [Finding(self.name, f"still uses {self.old}", path, line, nearest_code(after, line))
                      for line in left(case.after, path, self.old)]  # fmt: skip
        for path in sorted(case.allowed - case.changes.keys()):
            found += [
                Finding(self.name, f"still uses {self.old}", path, line) for line in left(case.after, path, self.old)
            ]
        return found

    def missing(self, path: str, text: str) -> int:
        """How often a text still has the old name as a word: what a text of the file lacks, told without the index."""
        return len(re.findall(rf"(?<![\w$]){re.escape(self.old)}(?![\w$])", text))


def left(index: RepoIndex, path: str, name: str) -> list[int]:
    """The lines of a file that define or use a name."""
    facts = index.files.get(path)
    if facts is None:
        return []
    defined = {symbol.line for symbol in facts.definitions if symbol.name == name}
    return sorted(defined | {use.line for use in facts.references_to(name)})


def only_renamed(before: str, after: str, old: str, new: str) -> bool:
    """Whether the texts are the same but for the one name standing where the other stood."""
    return re.sub(rf"\b{re.escape(new)}\b", old, after) == re.sub(rf"\b{re.escape(new)}\b", old, before)
