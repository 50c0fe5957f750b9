"""Whether a requirement's predicate holds in a tree: names and texts, read from the index. Runs nothing."""

from __future__ import annotations

from collections.abc import Callable

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
