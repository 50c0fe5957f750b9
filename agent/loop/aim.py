"""Whether an edit has anything to do with the names that its instruction speaks of. Judges not whether it is right."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import SequenceMatcher

from dovetail.agent.checks.case import Case, Change
from dovetail.agent.repo.index import RepoIndex

_NAME = re.compile(r"[A-Za-z_$][\w$]*(?:\.[A-Za-z_$][\w$]*)*")
_KIND = r"(?:function|method|class|constant|type|struct|interface|variable|attribute|property)"
_KIND_BEFORE = re.compile(rf"\b{_KIND}\s+[`'\"]?$", re.IGNORECASE)
_KIND_BEHIND = re.compile(rf"[`'\"]?\s+{_KIND}\b", re.IGNORECASE)
_MANY_LINES = 20_000


def names_missed(instruction: str, case: Case, changes: Mapping[str, Change]) -> tuple[str, ...]:
    """The definitions that the instruction names, if the changes touch none of them; else nothing."""
    named = [name for name in _named(instruction) if case.before.definitions(name) or case.after.definitions(name)]
    if any(_touches(name, case.after, changes) for name in named):
        return ()
    return tuple(named)


def _named(instruction: str) -> list[str]:
    """What reads as a name in code rather than as a word of the language."""
    found = [match[0] for match in _NAME.finditer(instruction) if _reads_as_code(match, instruction)]
    return list(dict.fromkeys(found))


def _reads_as_code(match: re.Match[str], text: str) -> bool:
    word, before, behind = match[0], text[: match.start()], text[match.end() :]
    if re.search(r"[_.$\d]|[a-z][A-Z]", word) or behind.startswith("(") or before.endswith("`"):
        return True
    if _KIND_BEFORE.search(before) or _KIND_BEHIND.match(behind):
        return True
    begins = not before.strip() or before.rstrip()[-1] in ".:!?"
    return word[0].isupper() and not begins


def _touches(name: str, after: RepoIndex, changes: Mapping[str, Change]) -> bool:
    """Whether a changed line holds the name, or lies in a definition of it."""
    word = re.compile(rf"(?<![\w$]){re.escape(name.rpartition('.')[2])}(?![\w$])")
    for path, change in changes.items():
        old, new = (change.before or "").splitlines(), (change.after or "").splitlines()
        if len(old) + len(new) > _MANY_LINES:
            return True
        spans = [(each.line, each.last_line) for each in after.definitions(name) if each.path == path]
        for tag, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
            if tag == "equal":
                continue
            if any(map(word.search, (*old[a:b], *new[c:d]))):
                return True
            if any(first <= max(d, c + 1) and c + 1 <= last for first, last in spans):
                return True
    return False
