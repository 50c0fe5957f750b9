"""What the new text of one file brings that a policy names: imports, calls, patterns; and exports that it breaks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from dovetail.serve.constrain.syntax.parsing import parse
from dovetail.serve.edit.policy import calls, imports
from dovetail.serve.edit.policy.document import CallRule, ImportRule, PatternRule
from dovetail.serve.edit.policy.matching import Finder, Match, Revision, line_of
from dovetail.serve.edit.policy.paths import any_matches
from dovetail.serve.edit.policy.patterns import pattern_matches
from dovetail.serve.edit.policy.surface import exported
from dovetail.serve.types import Finding, FindingKind

if TYPE_CHECKING:
    from dovetail.serve.edit.policy.combine import FileChange, Policy

Rule = ImportRule | CallRule | PatternRule


def content_findings(
    policy: Policy, change: FileChange, languages: Sequence[str], *, refused_only: bool
) -> Iterator[Finding]:
    """The findings in a changed file whose path says that it is of one of ``languages``."""
    language = _language(languages, change)
    path = change.path or ""
    revision, moved = Revision(language, change.before, change.after), Revision(language, b"", change.after)
    for rule, kind in rules_for(policy, language):
        if (refused_only and rule.mode != "refuse") or not any_matches(rule.paths, path):
            continue
        known = change.old_path is not None and any_matches(rule.paths, change.old_path)
        for match in (revision if known else moved).new_matches(finder(rule, language, path)):
            yield finding(rule, kind, path, match)
    if change.old_path is not None and policy.frozen(change.old_path) and language in exported.LANGUAGES:
        yield from _broken(revision, change.old_path)


def finding(rule: Rule, kind: FindingKind, path: str, match: Match) -> Finding:
    """What is said of a match of ``rule``."""
    return Finding(
        id=rule.id,
        rule=kind,
        path=path,
        line=line_of(match.node),
        message=rule.message,
        severity=rule.severity,
        cwe=rule.cwe,
        mode=rule.mode,
        fix=rule.fix if isinstance(rule, PatternRule) else "",
    )


def _language(languages: Sequence[str], change: FileChange) -> str:
    """The first language in which the text has no error, before the change if there was one."""
    text = change.before or change.after
    if len(languages) > 1:
        return next((each for each in languages if not parse(each, text).root_node.has_error), languages[0])
    return languages[0]


def rules_for(policy: Policy, language: str) -> Iterator[tuple[Rule, FindingKind]]:
    """The policy's rules that can be asked of a language."""
    if language in imports.LANGUAGES:
        yield from ((rule, "imports") for rule in policy.imports)
    if language in calls.LANGUAGES:
        yield from ((rule, "calls") for rule in policy.calls if not rule.languages or language in rule.languages)
    yield from ((rule, "patterns") for rule in policy.patterns if language in rule.languages)


def finder(rule: Rule, language: str, path: str) -> Finder:
    """What finds the matches of a rule in the file at ``path``."""
    if isinstance(rule, ImportRule):
        return partial(imports.import_matches, rule.forbid, rule.unless, language, path)
    if isinstance(rule, CallRule):
        return partial(calls.call_matches, rule.forbid, language)
    return partial(pattern_matches, rule, language)


def _broken(revision: Revision, path: str) -> Iterator[Finding]:
    for each in exported.broken(revision, path):
        said = "is gone" if each.now is None else f"was ({each.was}) and is ({each.now})"
        message = f"The policy freezes what this file exports: {each.name} {said}."
        yield Finding(id="api/freeze", rule="api", path=path, line=each.line, message=message)
