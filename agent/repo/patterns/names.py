"""How things are named: the case of functions, classes, constants and files."""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Iterator

from dovetail.agent.repo.facts import CONTAINERS, FileFacts
from dovetail.agent.repo.patterns.convention import Convention, prevailing

_CASES = (
    ("snake_case", re.compile(r"[a-z0-9]+(_[a-z0-9]+)+")),
    ("UPPER_CASE", re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*")),
    ("kebab-case", re.compile(r"[a-z0-9]+(-[a-z0-9]+)+")),
    ("PascalCase", re.compile(r"([A-Z][a-z0-9]*)+")),
    ("camelCase", re.compile(r"[a-z][a-z0-9]*([A-Z][a-z0-9]*)+")),
)


def naming(files: Iterable[FileFacts]) -> Iterator[Convention]:
    """The prevailing case by language and kind. Names of one lower-case word tell nothing."""
    cases: dict[tuple[str, str], Counter[str]] = {}
    for facts in files:
        names = [("files", posixpath.basename(facts.path).split(".")[0])]
        names += [(_group(symbol.kind), symbol.name) for symbol in facts.definitions]
        for group, name in names:
            case = _case(name)
            if group and case:
                cases.setdefault((facts.language, group), Counter())[case] += 1
    for (language, group), counted in sorted(cases.items()):
        yield from prevailing("naming", f"{language} {group} are {{}}", counted)


def _group(kind: str) -> str:
    if kind in {"function", "method"}:
        return "functions"
    if kind in CONTAINERS - {"namespace"}:
        return "classes"
    return "constants" if kind == "constant" else ""


def _case(name: str) -> str:
    bare = name.strip("_$#@?!")
    return next((case for case, shape in _CASES if shape.fullmatch(bare)), "") if len(bare) > 1 else ""
