"""The policy that holds for a request: every document of it, together. More documents only take away more.

Pure: the same files give the same findings, while decoding and afterwards. Knows no edit format.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from typing import NamedTuple

import msgspec

from dovetail.serve.constrain.syntax.languages import languages_of
from dovetail.serve.edit.policy.content import content_findings, rules_for
from dovetail.serve.edit.policy.document import Document, Limits, PatternRule, parse_policy, unusable
from dovetail.serve.edit.policy.lines import changed_lines, plain
from dovetail.serve.edit.policy.paths import any_matches, glob
from dovetail.serve.edit.policy.patterns import check_pattern
from dovetail.serve.edit.policy.rules import GROUPS, pack_names, rules_named
from dovetail.serve.types import Finding, Mode, ProtectedLines, SourceFile


class FileChange(NamedTuple):
    """One file before and after; a path of None: it is not there."""

    old_path: str | None
    path: str | None
    before: bytes
    after: bytes


class Policy:
    """Documents that all hold, with their rule packs.

    Raises:
        PolicyError: a query, an example or the name of a pack cannot be used.
    """

    def __init__(self, documents: Sequence[Document]) -> None:
        self.documents = tuple(documents)
        self.patterns: list[PatternRule] = []
        for document in self.documents:
            for index, rule in enumerate(document.patterns):
                check_pattern(rule, f"patterns[{index}]")
            self.patterns += [*document.patterns, *_packed(document)]
        self.imports = [rule for document in self.documents for rule in document.imports]
        self.calls = [rule for document in self.documents for rule in document.calls]
        self.limits = Limits(*(_least(self.documents, name) for name in Limits.__struct_fields__))

    def also(self, *documents: Document) -> Policy:
        """With more documents."""
        return Policy((*self.documents, *documents))

    @property
    def texts(self) -> tuple[str, ...]:
        """The documents as text, for ``policy_of``."""
        return tuple(document.text for document in self.documents)

    @cached_property
    def digest(self) -> str:
        """Names the documents and the rules that they ask for."""
        rules = [[rule.id, rule.query, rule.mode, *rule.paths] for rule in self.patterns]
        return "sha256:" + hashlib.sha256(json.dumps([self.texts, rules]).encode()).hexdigest()

    def may_edit(self, path: str) -> bool:
        """Whether the file may change at all."""
        return all(
            any_matches(each.paths.allow, path) and not any_matches(each.paths.protect, path, ignore_case=True)
            for each in self.documents
        )

    def may_create(self, path: str) -> bool:
        """Whether a file may be made at ``path``, or moved there."""
        return self.may_edit(path) and all(
            each.paths.create is None or any_matches(each.paths.create, path) for each in self.documents
        )

    def may_begin(self, beginning: str) -> bool:
        """Whether a path that may be created can begin so. Never False for one that does."""
        return all(any(glob(each).may_match(beginning) for each in globs) for globs in self._creatable)

    def may_become_open(self, names: Sequence[str], *, somewhere: bool) -> bool:
        """Whether a file that may be edited can have one of the names that begin like ``names``. ``somewhere``: folders are
        not yet the project's. Never False for such a file.
        """
        return all(
            bool(document.paths.allow)
            and (somewhere or any(glob(each).may_match(name) for each in document.paths.allow for name in names))
            and not any(glob(each, ignore_case=True).covers(name) for each in document.paths.protect for name in names)
            for document in self.documents
        )

    @property
    def _creatable(self) -> list[tuple[str, ...]]:
        """Lists of globs of which each has to name a new path."""
        created = [each.paths.create for each in self.documents if each.paths.create is not None]
        return [*created, *(each.paths.allow for each in self.documents)]

    def leads(self, beginning: str) -> tuple[str, ...] | None:
        """Texts one of which comes next in a path that may be created and begins so; None: not known, perhaps any."""
        for globs in self._creatable:
            rests = [glob(each).lead(beginning) for each in globs]
            if None not in rests:
                return tuple(rest for rest in rests if rest and self.may_begin(beginning + rest))
        return None

    def frozen(self, path: str) -> bool:
        """Whether the exports of the file may not change, so that it may not go or move either."""
        return any(any_matches(each.api.freeze, path) for each in self.documents)

    def may_leave(self, path: str) -> bool:
        """Whether the file may be deleted, or moved away."""
        return self.may_edit(path) and not self.frozen(path)

    def reads(self, path: str) -> bool:
        """Whether it has anything to say of the new text of the file, and so parses it."""
        return any(any(True for _ in rules_for(self, language)) for language in languages_of(path))

    def parses(self, path: str) -> bool:
        """Whether it parses an edited file that was given at ``path``."""
        return self.reads(path) or self.frozen(path)

    def protected_lines(self, files: Sequence[SourceFile]) -> tuple[ProtectedLines, ...]:
        """The protected ranges of ``files``, cut to the lines that they have."""
        found: list[ProtectedLines] = []
        for document in self.documents:
            for each in document.protected:
                for file in files:
                    count = file.content.count("\n") + (not file.content.endswith("\n") and bool(file.content))
                    if each.first_line <= count and glob(each.path, ignore_case=True).matches(file.path):
                        found.append((file.path, each.first_line, min(each.last_line, count)))
        return tuple(found)

    def content(self, change: FileChange, *, refused_only: bool = False) -> Iterator[Finding]:
        """What the new text of one file brings: imports, calls, patterns; and what it breaks of a frozen file."""
        if change.path is None or (change.path == change.old_path and change.before == change.after):
            return
        change = FileChange(change.old_path, change.path, plain(change.before), plain(change.after))
        languages = languages_of(change.path or "")
        if languages:
            yield from content_findings(self, change, languages, refused_only=refused_only)

    def findings(self, changes: Sequence[FileChange]) -> list[Finding]:
        """All that the policy says of the changed files, in their order, and of all of them together.

        Protected lines are for ``apply_edits`` to see to, which knows where the edits are.
        """
        touched = [change for change in changes if change[0] != change[1] or change.before != change.after]
        found: list[Finding] = []
        for change in touched:
            found += self._paths(change)
            found += self.content(change)
        return found + list(self._limits(touched))

    def _paths(self, change: FileChange) -> Iterator[Finding]:
        old, new = change.old_path, change.path
        if old is not None and not self.may_edit(old):
            yield _path_finding("paths/closed", old, "The policy keeps this file as it is.")
        elif new is not None and old != new and not self.may_create(new):
            yield _path_finding("paths/create", new, "The policy allows no file to be made here.")
        if old is not None and old != new and self.frozen(old):
            message = "The policy freezes what this file exports, so it may not go or move."
            yield Finding(id="api/freeze", rule="api", path=old, message=message)

    def _limits(self, touched: Sequence[FileChange]) -> Iterator[Finding]:
        limits = self.limits
        if limits.files is not None and len(touched) > limits.files:
            message = f"{len(touched)} files change, and {limits.files} may."
            yield Finding(id="limits/files", rule="limits", path="", message=message)
        if limits.changed_lines is None and limits.changed_lines_per_file is None:
            return
        total = 0
        for change in touched:
            count = changed_lines(change.before, change.after)
            total += count
            if limits.changed_lines_per_file is not None and count > limits.changed_lines_per_file:
                message = f"{count} lines are added or removed here, and {limits.changed_lines_per_file} may be."
                path = change.path or change.old_path or ""
                yield Finding(id="limits/changed_lines_per_file", rule="limits", path=path, message=message)
        if limits.changed_lines is not None and total > limits.changed_lines:
            message = f"{total} lines are added or removed, and {limits.changed_lines} may be."
            yield Finding(id="limits/changed_lines", rule="limits", path="", message=message)


@lru_cache(maxsize=64)
def policy_of(texts: tuple[str, ...]) -> Policy:
    """The policy of documents as ``Policy.texts`` gives them.

    Raises:
        PolicyError: as parse_policy and Policy.
    """
    return Policy([parse_policy(json.loads(text)) for text in texts])


def _packed(document: Document) -> Iterator[PatternRule]:
    asked = document.findings
    known: set[str] = set()
    for index, name in enumerate(asked.rules):
        rules = rules_named(name)
        if not rules:
            there = ", ".join((*pack_names(), *GROUPS))
            raise unusable(
                f"findings.rules[{index}]", f"{name!r} is no pack, group, CWE or id of rules; there are {there}"
            )
        for rule in rules:
            if rule.id not in known and rule.id not in asked.without:
                mode: Mode = "refuse" if asked.mode == "refuse" else "report"
                yield msgspec.structs.replace(rule, mode=mode, bad=(), good=())
            known.add(rule.id)
    for index, each in enumerate(asked.without):
        if each not in known:
            raise unusable(f"findings.without[{index}]", f"{each!r} is none of the rules asked for")


def _least(documents: Sequence[Document], name: str) -> int | None:
    given = [getattr(each.limits, name) for each in documents]
    return min((value for value in given if value is not None), default=None)


def _path_finding(name: str, path: str, message: str) -> Finding:
    return Finding(id=name, rule="paths", path=path, message=message)
