"""A policy at every line's end of new text: what is certain there already need not wait for the terminator.

Asks for a line end to be refused only if every edit that begins so would be refused where it ends: a match that stands in
text which parses so far stays one, and a line that the file has not is a line more. Whatever is not certain is left to the
terminator: brackets that are still open, patterns that the next line may undo, long files.
"""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from dovetail.serve.constrain.base import Pending
from dovetail.serve.constrain.syntax.change import changed
from dovetail.serve.constrain.syntax.gates import Answer
from dovetail.serve.constrain.syntax.languages import languages_of
from dovetail.serve.edit.policy.content import rules_for
from dovetail.serve.edit.policy.lines import plain
from dovetail.serve.edit.policy.paths import any_matches
from dovetail.serve.edit.policy.review import WHOLE_STATEMENTS, Subject, too_many_lines

if TYPE_CHECKING:
    from dovetail.serve.edit.ledger import Ledger
    from dovetail.serve.edit.policing import Policing

_BYTES_AT_MOST = 32_768
_REMEMBERED = 64


def opening(ledger: Ledger, target: int, start: int | None) -> PolicyWatch | None:
    """The watch of an edit of ``target`` at ``start``, if the request's policy has anything to say of its lines."""
    policing = ledger.policing
    if policing is None:
        return None
    lines = Lines(policing, ledger, target, start)
    return PolicyWatch(lines, b"", b"", 0) if lines.wanted else None


class Lines:
    """What is the same for all states of one edit. ``refused``: the texts refused; as many as the plan allows end the edit."""

    def __init__(self, policing: Policing, ledger: Ledger, target: int, start: int | None) -> None:
        self._policing = policing
        self._ledger = ledger
        self._target = target
        self._start = start
        self._change = policing.change(target)
        self._left = policing.lines_left(target)
        self.refused: set[bytes] = set()
        self._answers: dict[bytes, Answer] = {}
        languages = languages_of(self._change.path or "")
        self._language = languages[0] if len(languages) == 1 and start is not None else None
        self._rules = self._language is not None and self._certain(policing)

    @property
    def wanted(self) -> bool:
        """Whether there is anything to watch for."""
        return self._rules or self._left is not None

    @property
    def spent(self) -> bool:
        """Whether the model has run into the policy so often that the edit has to go back."""
        return len(self.refused) >= self._ledger.plan.refusal_limit

    def _certain(self, policing: Policing) -> bool:
        """Whether a line's end can decide any rule."""
        language, path = self._language or "", self._change.path or ""
        return any(
            (kind != "patterns" or language in WHOLE_STATEMENTS)
            and rule.mode == "refuse"
            and any_matches(rule.paths, path)
            for rule, kind in rules_for(policing.policy, language)
        )

    @cached_property
    def _head(self) -> bytes:
        """What stands before the edit."""
        start, raw = self._start or 0, self._ledger.targets[self._target].prepared.raw
        accepted = self._ledger.changes_as_read(self._target) if self._target in self._ledger.accepted else []
        before = [change for change in accepted if change.end <= start and change.start < len(raw)]
        return plain(changed(raw, before, 0, max(start, before[-1].end if before else 0)))

    @cached_property
    def _old_lines(self) -> frozenset[bytes]:
        return _lines_of(self._before)

    @cached_property
    def _before(self) -> bytes:
        return plain(self._change.before)

    def adds(self, line: bytes) -> bool:
        """Whether the line is certainly one more."""
        return self._left is not None and plain(line) not in self._old_lines

    def holds(self, text: bytes, added: int) -> bool:
        """Whether an edit may go on behind ``text``, which ends with a line.

        Raises:
            Pending: that is still being found out, and nobody hopes for it.
        """
        if self._left is not None and added > self._left.count:
            self.refused.add(text)
            self._policing.veto(too_many_lines(self._change.path or "", self._left), "decoding")
            return False
        if not self._rules or len(self._head) + len(text) > _BYTES_AT_MOST:
            return True
        answer = self._asked(text)
        if not answer.ready:
            hopes = self._ledger.plan.hopes
            if hopes is None:
                raise Pending(answer)
            hopes.append(answer)
            return True
        if not answer.holds:
            self.refused.add(text)
            self._policing.note(answer, "decoding")
        return answer.holds

    def _asked(self, text: bytes) -> Answer:
        """Whether the policy's reviewer finds nothing certain in the file up to the end of ``text``."""
        if text not in self._answers:
            if len(self._answers) >= _REMEMBERED:
                self._answers.pop(next(iter(self._answers)))
            path, old_path = self._change.path, self._change.old_path
            content = self._head + plain(text)
            subject = Subject(self._policing.policy.texts, old_path, path, self._before, content, fresh=len(self._head))
            self._answers[text] = self._ledger.plan.reviewed(subject)
        return self._answers[text]


@lru_cache(maxsize=8)
def _lines_of(text: bytes) -> frozenset[bytes]:
    """Kept, as many edits of one file ask."""
    return frozenset(line + b"\n" for line in text.split(b"\n"))


class PolicyWatch:
    """``done``: the finished lines; ``partial``: the beginning of the next; ``added``: those of them that are more for certain."""

    __slots__ = ("_added", "_done", "_lines", "_partial")

    def __init__(self, lines: Lines, done: bytes, partial: bytes, added: int) -> None:
        self._lines = lines
        self._done = done
        self._partial = partial
        self._added = added

    def feed(self, data: bytes, new: bool) -> PolicyWatch | None:
        """The state behind ``data``; None where the policy refuses a line's end in it."""
        if self._lines.spent:
            return None
        stop = data.rfind(b"\n") + 1
        if not stop:
            return PolicyWatch(self._lines, self._done, self._partial + data, self._added)
        finished = self._partial + data[:stop]
        added = self._added
        if new:
            added += sum(self._lines.adds(line + b"\n") for line in finished[:-1].split(b"\n"))
        done = self._done + finished
        return PolicyWatch(self._lines, done, data[stop:], added) if not new or self._lines.holds(done, added) else None

    def may_end(self) -> bool:
        """The terminator is asked elsewhere, of the whole file."""
        return True
