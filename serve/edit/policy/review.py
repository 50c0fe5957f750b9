"""What a policy says of one change, asked in one message: so that a process of its own can find it out, beside the steps.

Knows files before and after; no edit format, no output.
"""

from __future__ import annotations

from collections import Counter

import msgspec

from dovetail.serve.constrain.syntax.languages import languages_of
from dovetail.serve.constrain.syntax.parsing import parse
from dovetail.serve.edit.policy.combine import FileChange, Policy, policy_of
from dovetail.serve.edit.policy.content import finder, finding, rules_for
from dovetail.serve.edit.policy.lines import changed_lines
from dovetail.serve.edit.policy.matching import Span, original
from dovetail.serve.edit.policy.paths import any_matches
from dovetail.serve.types import Finding

WHOLE_STATEMENTS = frozenset({"python"})
"""Languages in which no later line can add to a statement that parses up to its line's end."""


class LinesLeft(msgspec.Struct, frozen=True, array_like=True):
    """How many lines may change, by the limit that leaves the fewest: its name in a policy."""

    count: int
    limit: str


class Subject(msgspec.Struct, frozen=True, array_like=True):
    """A change that a policy judges.

    ``policy``: as Policy.texts. ``lines``: how many lines may change, by which limit; None: any number. ``fresh``: where the new text begins,
    if ``after`` is no whole file but ends with a finished line of it; then only what no way of going on undoes is found.
    ``exports``: what breaks a frozen file is found too.
    """

    policy: tuple[str, ...]
    old_path: str | None
    path: str | None
    before: bytes
    after: bytes
    lines: LinesLeft | None = None
    fresh: int | None = None
    exports: bool = True


def reviewed(subject: bytes) -> bytes:
    """The first finding that refuses an encoded Subject, encoded; empty: there is none."""
    asked = msgspec.msgpack.decode(subject, type=Subject)
    found = first_refusal(asked)
    return msgspec.msgpack.encode(found) if found is not None else b""


def finding_in(found: bytes) -> Finding:
    """What ``reviewed`` has encoded."""
    return msgspec.msgpack.decode(found, type=Finding)


def first_refusal(asked: Subject) -> Finding | None:
    """The first finding that refuses the change."""
    policy = policy_of(asked.policy)
    if asked.fresh is not None:
        return _certain(policy, asked, asked.fresh)
    change = FileChange(asked.old_path, asked.path, asked.before, asked.after)
    if asked.lines is not None and changed_lines(asked.before, asked.after) > asked.lines.count:
        return too_many_lines(asked.path or asked.old_path or "", asked.lines)
    found = policy.content(change, refused_only=True)
    return next((each for each in found if asked.exports or each.rule != "api"), None)


def too_many_lines(path: str, left: LinesLeft) -> Finding:
    """What is found where an edit changes more lines than the limits leave."""
    return Finding(id=f"limits/{left.limit}", rule="limits", path=path, message="Too many lines change.")


def _certain(policy: Policy, asked: Subject, begin: int) -> Finding | None:
    """What is found in a text that stops at a line's end, if no line behind it can undo that."""
    path, content = asked.path or "", asked.after
    language = languages_of(path)[0]
    tree = parse(language, content)
    if tree.root_node.has_error:
        return None
    fresh, every = Span(begin, len(content)), Span(0, len(content))
    for rule, kind in rules_for(policy, language):
        sure = kind != "patterns" or language in WHOLE_STATEMENTS
        if not sure or rule.mode != "refuse" or not any_matches(rule.paths, path):
            continue
        find = finder(rule, language, path)
        here = [match for match in find(tree, fresh) if match.node.start_byte >= begin]
        if not here:
            continue
        now = Counter(match.key for match in find(tree, every))
        held = asked.old_path is not None and any_matches(rule.paths, asked.old_path)
        old = original(language, asked.before)
        was = Counter(match.key for match in find(old, Span(0, len(asked.before)))) if held else Counter()
        new = next((match for match in here if now[match.key] > was[match.key]), None)
        if new is not None:
            return finding(rule, kind, path, new)
    return None
