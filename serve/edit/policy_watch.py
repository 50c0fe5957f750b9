"""A policy at every line's end of new text: what is certain there already need not wait for the terminator.

Asks for a line end to be refused only if every edit that begins so would be refused where it ends: a match that stands in
text which parses so far stays one, and a line that the file has not is a line more. Whatever is not certain is left to the
terminator: brackets that are still open, patterns that the next line may undo, long files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING

from dovetail.serve.constrain.syntax.change import changed
from dovetail.serve.constrain.syntax.languages import languages_of
from dovetail.serve.constrain.syntax.parsing import parse
from dovetail.serve.edit.policing import too_many_lines
from dovetail.serve.edit.policy.content import Rule, finder, finding, rules_for
from dovetail.serve.edit.policy.lines import plain
from dovetail.serve.edit.policy.matching import Span, original
from dovetail.serve.edit.policy.paths import any_matches
from dovetail.serve.types import FindingKind

if TYPE_CHECKING:
    from dovetail.serve.edit.ledger import Ledger
    from dovetail.serve.edit.policing import Policing

_BYTES_AT_MOST = 32_768
_REMEMBERED = 64
_WHOLE_STATEMENTS = frozenset({"python"})
"""Languages in which no later line can add to a statement that parses up to its line's end."""


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
        self._verdicts: dict[bytes, bool] = {}
        languages = languages_of(self._change.path or "")
        self._language = languages[0] if len(languages) == 1 and start is not None else None
        self._rules = list(self._certain(policing)) if self._language else []

    @property
    def wanted(self) -> bool:
        """Whether there is anything to watch for."""
        return bool(self._rules) or self._left is not None

    @property
    def spent(self) -> bool:
        """Whether the model has run into the policy so often that the edit has to go back."""
        return len(self.refused) >= self._ledger.plan.refusal_limit

    def _certain(self, policing: Policing) -> Iterator[tuple[Rule, FindingKind, bool]]:
        """The rules that a line's end can decide, and whether they held for the file as it was."""
        language, path = self._language or "", self._change.path or ""
        for rule, kind in rules_for(policing.policy, language):
            sure = kind != "patterns" or language in _WHOLE_STATEMENTS
            if sure and rule.mode == "refuse" and any_matches(rule.paths, path):
                old = self._change.old_path
                yield rule, kind, old is not None and any_matches(rule.paths, old)

    @cached_property
    def _head(self) -> bytes:
        """What stands before the edit."""
        start, raw = self._start or 0, self._ledger.targets[self._target].prepared.raw
        accepted = self._ledger.changes_as_read(self._target) if self._target in self._ledger.accepted else []
        before = [change for change in accepted if change.end <= start and change.start < len(raw)]
        return plain(changed(raw, before, 0, max(start, before[-1].end if before else 0)))

    @cached_property
    def _old_lines(self) -> frozenset[bytes]:
        return frozenset(line + b"\n" for line in self._before.split(b"\n"))

    @cached_property
    def _before(self) -> bytes:
        return plain(self._change.before)

    def adds(self, line: bytes) -> bool:
        """Whether the line is certainly one more."""
        return self._left is not None and plain(line) not in self._old_lines

    def holds(self, text: bytes, added: int) -> bool:
        """Whether an edit may go on behind ``text``, which ends with a line."""
        if self._left is not None and added > self._left:
            self.refused.add(text)
            self._policing.veto(too_many_lines(self._change.path or ""), "decoding")
            return False
        if not self._rules or len(self._head) + len(text) > _BYTES_AT_MOST:
            return True
        if text not in self._verdicts:
            if len(self._verdicts) >= _REMEMBERED:
                self._verdicts.pop(next(iter(self._verdicts)))
            self._verdicts[text] = self._parsed_holds(text)
        if not self._verdicts[text]:
            self.refused.add(text)
        return self._verdicts[text]

    def _parsed_holds(self, text: bytes) -> bool:
        content = self._head + plain(text)
        tree = parse(self._language or "", content)
        if tree.root_node.has_error:
            return True
        fresh, every = Span(len(self._head), len(content)), Span(0, len(content))
        path = self._change.path or ""
        for rule, kind, held in self._rules:
            find = finder(rule, self._language or "", path)
            here = [match for match in find(tree, fresh) if match.node.start_byte >= fresh.start]
            if not here:
                continue
            now = Counter(match.key for match in find(tree, every))
            old = original(self._language or "", self._before)
            was = Counter(match.key for match in find(old, Span(0, len(self._before)))) if held else Counter()
            new = next((match for match in here if now[match.key] > was[match.key]), None)
            if new is not None:
                self._policing.veto(finding(rule, kind, path, new), "decoding")
                return False
        return True


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
