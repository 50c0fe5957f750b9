"""Tasks whose form says what to do: planned from the index, without asking a model what it may not know. Edits nothing."""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass

from dovetail.agent.checks.policy import is_protected
from dovetail.agent.loop.plan import MOST_FILES, MOST_SUBTASKS, Plan, Subtask
from dovetail.agent.loop.requirements import Requirement
from dovetail.agent.repo.index import RepoIndex

_NAME = r"[`'\"]?(?P<{}>[A-Za-z_$][\w$]*)(?:\(\))?[`'\"]?"
_KIND = r"(?:(?P<kind>function|class|constant|method|type|struct|interface)\s+)?"
_RENAME = re.compile(
    rf"^\s*(?:please\s+)?rename\s+(?:the\s+)?{_KIND}{_NAME.format('old')}\s*(?:to|into|as|->|→)\s*{_NAME.format('new')}"
    r"(?:\s+(?:everywhere|in all files|and update (?:its|all|the) (?:callers|uses)|(?:over|across|throughout) [\w ]+))?\s*[.!]?\s*$",
    re.IGNORECASE,
)
_RENAMED_KINDS = frozenset({"function", "class", "constant", "struct", "interface", "enum", "trait", "type"})


@dataclass(frozen=True)
class Ruled:
    """A plan that a rule made, with its requirements."""

    requirements: list[Requirement]
    plan: Plan


def plan_by_rule(task: str, index: RepoIndex) -> tuple[Ruled | None, str]:
    """The plan of a task that is recognised; else None, with the reason where it nearly was."""
    asked = _RENAME.match(task)
    if asked is None:
        return None, ""
    old, new = asked["old"], asked["new"]
    why = _no_rename(old, new, index)
    if why:
        return None, f"The task reads as a rename, but is not planned by rule: {why}."
    return _rename(old, new, index), ""


def uses(name: str, index: RepoIndex) -> list[str]:
    """The files that define or use a name, definitions first."""
    defined = [symbol.path for symbol in index.definitions(name)]
    return list(dict.fromkeys([*defined, *(use.path for use in index.references(name))]))


def _no_rename(old: str, new: str, index: RepoIndex) -> str:
    defined = index.definitions(old)
    if len(defined) != 1:
        return f"{old} is defined {len(defined)} times" if defined else f"{old} is not defined here"
    if defined[0].parent or defined[0].kind not in _RENAMED_KINDS:
        return f"{old} is a {defined[0].kind} inside of something, whose uses a name alone does not tell"
    if keyword.iskeyword(new) or new == old:
        return f"{new} is no new name"
    files = uses(old, index)
    if index.definitions(new) or any(use.path in files for use in index.references(new)):
        return f"{new} is in use already"
    if len(files) > MOST_FILES * MOST_SUBTASKS:
        return f"{len(files)} files use {old}, and at most {MOST_FILES * MOST_SUBTASKS} change in one task"
    if any(is_protected(path) for path in files):
        return f"{old} is used in a protected file"
    return ""


def _rename(old: str, new: str, index: RepoIndex) -> Ruled:
    kind = index.definitions(old)[0].kind
    noun = kind if kind in ("function", "class") else "constant" if kind == "constant" else ""
    phrasings = (
        f"Rename the {noun} {old} to {new}" if noun else f"Rename {old} to {new}",
        f"Rename {old} to {new}",
        f"Replace the name {old} with {new}",
        f"Rename {old} to {new} everywhere",
        f"rename {old} -> {new}",
    )
    requirement = Requirement(
        "R1", f"{old} is called {new}, in every file that uses it.", "renamed", f"{old} {new}", by="rule"
    )
    files = uses(old, index)
    subtasks = tuple(
        Subtask(f"S{number}", phrasings[0], tuple(files[first : first + MOST_FILES]), (), ("R1",), phrasings, True)
        for number, first in enumerate(range(0, len(files), MOST_FILES), 1)
    )
    risks = (
        f"Names in strings, comments and files that are not source code keep saying {old}.",
        f"{old} leaves the public API, as the task asks: users outside of this repository have to follow.",
    )
    return Ruled([requirement], Plan(subtasks, risks, by="rule", api=(old, new)))
