"""A policy over edits: what it still allows while an output is decoded, and what it finds in the finished files.

Both ask the same functions about the same texts, so they cannot disagree.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import msgspec

from dovetail.serve.constrain.base import Pending
from dovetail.serve.constrain.syntax.change import changed
from dovetail.serve.constrain.syntax.gates import Answer
from dovetail.serve.edit.policy.combine import FileChange, Policy
from dovetail.serve.edit.policy.lines import changed_lines
from dovetail.serve.edit.policy.review import LinesLeft, Subject, finding_in
from dovetail.serve.types import Decided, Finding

if TYPE_CHECKING:
    from dovetail.serve.edit.apply import Applied
    from dovetail.serve.edit.ledger import Ledger, Quote


class Policing:
    """What ``policy`` still allows behind the accepted edits of ``ledger``."""

    def __init__(self, policy: Policy, ledger: Ledger) -> None:
        self.policy = policy
        self._ledger = ledger

    @cached_property
    def _touched(self) -> frozenset[int]:
        return frozenset((*self._ledger.accepted, *self._ledger.deleted, *self._ledger.renamed))

    @cached_property
    def _lines(self) -> dict[int, int]:
        """The lines added and removed in every file; of none if no limit counts them."""
        if not self._counts:
            return {}
        changes = {target: self.change(target) for target in self._touched}
        return {target: changed_lines(change.before, change.after) for target, change in changes.items()}

    @property
    def _room(self) -> bool:
        """Whether another file may be touched, and another line changed."""
        limits = self.policy.limits
        if limits.files is not None and len(self._touched) >= limits.files:
            return False
        return limits.changed_lines_per_file != 0 and self._lines_left(limits.changed_lines)

    @property
    def creates(self) -> bool:
        """Whether a file may be made, and there is a path for it."""
        return self._room and self.policy.leads("") != ()

    def opens(self, target: int) -> bool:
        """Whether an edit of the file may begin."""
        limits, given = self.policy.limits, target < len(self._ledger.plan.targets)
        if not given:
            return True  # As it was created, it has to be filled.
        if target not in self._touched:
            return self._room and self.policy.may_edit(self._ledger.targets[target].path)
        most = limits.changed_lines_per_file
        return self._lines_left(limits.changed_lines) and (most is None or self._lines[target] < most)

    def may_leave(self, target: int) -> bool:
        """Whether the file may be moved away."""
        return self.opens(target) and self.policy.may_leave(self._ledger.targets[target].path)

    def may_delete(self, target: int) -> bool:
        """Whether the file may go."""
        raw = self._ledger.targets[target].prepared.raw
        return self.may_leave(target) and self._fits(target, changed_lines(raw, b""))

    def ask(self, target: int, quote: Quote | None = None, replacement: bytes = b"") -> Answer:
        """Whether the policy holds with one edit more of the file, or as it has been moved; others have been judged."""
        change = self.change(target, quote, replacement)
        lines = self.lines_left(target) if self._counts else None
        return self._ledger.plan.reviewed(Subject(self.policy.texts, *change, lines))

    def keeps(self, target: int) -> bool:
        """Whether the policy holds with the file as it has been moved.

        Raises:
            Pending: that is still being found out.
        """
        answer = self.ask(target)
        if not answer.ready:
            raise Pending(answer)
        self.note(answer)
        return answer.holds

    def note(self, answer: Answer, decided: Decided = "terminator") -> None:
        """Remember what an answer has found, for the answer of the request to tell."""
        if answer.ready and answer.found:
            self.veto(finding_in(answer.found), decided)

    def veto(self, finding: Finding, decided: Decided = "terminator") -> None:
        """Remember what the model was kept from, for the answer to tell."""
        told = msgspec.structs.replace(finding, decided=decided)
        self._ledger.plan.vetoes.setdefault((finding.id, finding.path), told)

    def change(self, target: int, quote: Quote | None = None, replacement: bytes = b"") -> FileChange:
        """The file as it was and as the accepted edits, and one more, leave it."""
        ledger = self._ledger
        path, raw = ledger.targets[target].path, ledger.targets[target].prepared.raw
        old = path if target < len(ledger.plan.targets) else None
        if target in ledger.deleted:
            return FileChange(old, None, raw, b"")
        edited = quote is not None or target in ledger.accepted
        after = changed(raw, ledger.changes_as_read(target, quote, replacement)) if edited else raw
        return FileChange(old, ledger.renamed.get(target, path), raw, after)

    @property
    def _counts(self) -> bool:
        limits = self.policy.limits
        return limits.changed_lines is not None or limits.changed_lines_per_file is not None

    def _fits(self, target: int, lines: int) -> bool:
        """Whether so many changed lines of the file are within the limits."""
        most = self.lines_left(target)
        return most is None or lines <= most.count

    def lines_left(self, target: int) -> LinesLeft | None:
        """How many lines of the file may change at the most; None: no limit counts them."""
        limits = self.policy.limits
        others = sum(count for other, count in self._lines.items() if other != target)
        left: list[LinesLeft] = []
        if limits.changed_lines_per_file is not None:
            left.append(LinesLeft(limits.changed_lines_per_file, "changed_lines_per_file"))
        if limits.changed_lines is not None:
            left.append(LinesLeft(limits.changed_lines - others, "changed_lines"))
        return min(left, key=lambda each: each.count, default=None)

    def _lines_left(self, most: int | None) -> bool:
        return most is None or sum(self._lines.values()) < most


def findings_of(policy: Policy, after: Applied) -> list[Finding]:
    """All that the policy says of applied edits; where one refuses, they may not stand."""
    changes = [
        FileChange(
            old.path if old is not None else None,
            new.path if new is not None else None,
            old.content.encode() if old is not None else b"",
            new.content.encode() if new is not None else b"",
        )
        for old, new in after.pairs
    ]
    return policy.findings(changes)
