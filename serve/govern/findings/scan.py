"""Scans a text with all rules of its language in one pass; finds what is new against the text that was there before.

A finding is known by its rule and its code without blanks, never by its line. Bounded in bytes and in time. Knows no
fence and no protocol.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

import msgspec
from tree_sitter import Node, Query, QueryCursor, Tree

from dovetail.serve.constrain.syntax.languages import grammar
from dovetail.serve.constrain.syntax.parsing import parse
from dovetail.serve.edit.policy.document import PatternRule
from dovetail.serve.edit.policy.origins import Origins
from dovetail.serve.govern.findings.rules import Action, RuleSet
from dovetail.serve.types import Severity

MOST_BYTES = 1_048_576
"""Of one text; what is beyond is not scanned, and the scan says so."""
MOST_SECONDS = 2.0
_MOST_KEPT = 64
_WINDOW = 65_536
"""Bytes that are searched between two looks at the clock. (py-tree-sitter's own callback for this crashes the process.)"""


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """One finding. ``line`` and ``column`` count from 1; ``key``: its code, by which it is compared. ``tools``: who found it."""

    id: str
    cwe: str
    severity: Severity
    message: str
    fix: str
    path: str = ""
    line: int
    column: int
    end_line: int
    key: str = ""
    action: Action = "report"
    tools: tuple[str, ...] = ("dovetail",)


@dataclass(frozen=True)
class Scan:
    """What was found in a text. ``complete``: all of it was looked at."""

    found: tuple[Found, ...] = ()
    complete: bool = True


def scan_here(rules: RuleSet, language: str, text: str, base: str | None = None, *, path: str = "") -> Scan:
    """The findings in a text of a language that ``base`` has not, or fewer of, in the text's order; parsed in this process."""
    data = text.encode("utf-8", "replace")
    if not rules_of(rules, language):
        return Scan()
    deadline = time.monotonic() + MOST_SECONDS
    now = scan_tree(rules, language, parse(language, data[:MOST_BYTES]), path=path, deadline=deadline)
    complete = now.complete and len(data) <= MOST_BYTES
    if not base or not now.found:
        return Scan(now.found, complete)
    before = parse(language, base.encode("utf-8", "replace")[:MOST_BYTES])
    known = Counter((each.id, each.key) for each in scan_tree(rules, language, before, deadline=deadline).found)
    fresh: list[Found] = []
    for each in now.found:
        if known[each.id, each.key]:
            known[each.id, each.key] -= 1
        else:
            fresh.append(each)
    return Scan(tuple(fresh), complete)


def scan_tree(
    rules: RuleSet,
    language: str,
    tree: Tree,
    span: tuple[int, int] | None = None,
    *,
    path: str = "",
    deadline: float | None = None,
    settled: Callable[[Node], bool] | None = None,
) -> Scan:
    """All matches in a tree, or those that touch ``span``; only those that are ``settled``, where that is asked."""
    asked = rules_of(rules, language)
    if not asked:
        return Scan()
    query, owners = _together(language, asked)
    first, last = span if span is not None else (0, tree.root_node.end_byte)
    seen: dict[tuple[str, int, int], Found] = {}
    origins = Origins()
    for start in range(first, max(last, first + 1), _WINDOW):
        if deadline is not None and time.monotonic() > deadline:
            return Scan(_in_order(seen), complete=False)
        cursor = QueryCursor(query)
        cursor.set_byte_range(start, min(last, start + _WINDOW))
        for pattern, captures in cursor.matches(tree.root_node, origins.predicate):
            rule = owners[pattern]
            for node in captures.get("match", ()):
                place = (rule.id, node.start_byte, node.end_byte)
                if place not in seen and (settled is None or settled(node)):
                    seen[place] = _found(rules, rule, node, path)
    return Scan(_in_order(seen))


def _in_order(seen: dict[tuple[str, int, int], Found]) -> tuple[Found, ...]:
    return tuple(seen[place] for place in sorted(seen, key=lambda place: (place[1], place[2], place[0])))


def prepare(rules: RuleSet, *languages: str) -> None:
    """Compile the queries of ``languages``, or of all, which takes up to a second, once for all."""
    for language in languages or sorted(rules.by_language):
        if rules_of(rules, language):
            _together(language, rules_of(rules, language))


def rules_of(rules: RuleSet, language: str) -> tuple[PatternRule, ...]:
    """Those that can be asked of a language."""
    return rules.by_language.get(language, ())


def code_key(code: bytes) -> str:
    """What code is compared by: its text without blanks."""
    return "".join(code.decode("utf-8", "replace").split())


def _found(rules: RuleSet, rule: PatternRule, node: Node, path: str) -> Found:
    return Found(
        id=rule.id,
        cwe=rule.cwe or "",
        severity=rule.severity,
        message=rule.message,
        fix=rule.fix,
        path=path,
        line=node.start_point.row + 1,
        column=node.start_point.column + 1,
        end_line=node.end_point.row + 1,
        key=code_key(node.text or b""),
        action=rules.action(rule.id),
    )


_Compiled = tuple[Query, Sequence[PatternRule]]
_compiled: dict[tuple[str, tuple[PatternRule, ...]], _Compiled] = {}


def is_prepared(rules: RuleSet, language: str) -> bool:
    """Whether nothing has to be compiled to scan a text of the language."""
    asked = rules_of(rules, language)
    return not asked or (language, asked) in _compiled


def _together(language: str, rules: tuple[PatternRule, ...]) -> _Compiled:
    """All queries as one, and the rule that each of its patterns belongs to: one pass over the tree is enough."""
    known = _compiled.get((language, rules))
    if known is not None:
        return known
    query = Query(grammar(language), "\n".join(rule.query for rule in rules))
    ends = list(accumulate(len(rule.query.encode()) + 1 for rule in rules))
    owners = [rules[bisect_right(ends, query.start_byte_for_pattern(index))] for index in range(query.pattern_count)]
    for oldest in list(_compiled)[: len(_compiled) + 1 - _MOST_KEPT]:
        _compiled.pop(oldest, None)
    _compiled[language, rules] = query, owners
    return query, owners
