"""One edit's place in its file as the edits before it have left that file: what stands before it, and whether the rest fits.

Knows no format: an edit is a place and, once it ends, a quote and its replacement.
"""

from __future__ import annotations

from dovetail.serve.constrain.syntax.gates import Answer
from dovetail.serve.edit.ledger import Ledger, Quote, raw_change
from dovetail.serve.edit.watch import Watching


class Standing:
    """An edit of ``target`` that begins at ``start``: where its first quoted line does, in the file as it was given.

    ``inserts``: it quotes nothing.
    """

    def __init__(self, ledger: Ledger, target: int, start: int, inserts: bool = False) -> None:
        self._ledger = ledger
        self._target = target
        self._start = start
        self._raw_size = len(ledger.targets[target].prepared.raw)
        before = (start, start) if inserts else (start, start + 1)
        changes = [
            raw_change(quote, text, self._raw_size)
            for quote, text in ledger.accepted.get(target, ())
            if tuple(quote) < before
        ]
        self._shift = sum(len(change.replacement) - (change.end - change.start) for change in changes)

    def watching(self) -> Watching:
        """Before the first byte of the edit's text."""
        ledger, target = self._ledger, self._target
        checkpoints = ledger.checkpoints(target)
        found = [opening(ledger, target, self._start) for opening in ledger.plan.openings]
        watches = tuple(watch for watch in found if watch is not None)
        if checkpoints is None:
            return Watching(None, watches)
        raw = ledger.targets[target].prepared.raw
        lags = bool(raw) and not raw.endswith(b"\n") and not ledger.plan.final_line_feed
        return Watching(checkpoints.before(self._start + self._shift), watches, lags)

    def fits(self, watching: Watching, quote: Quote) -> bool | None:
        """What the recogniser says of the whole file if ``quote`` became the text that was watched; None: nothing."""
        checkpoints = self._ledger.checkpoints(self._target)
        if watching.syntax is None or checkpoints is None:
            return None
        ended = watching.ended(cut_short=quote.end > self._raw_size)
        if ended is None or ended.syntax is None:
            return False
        if quote.end >= self._raw_size and self._ledger.plan.final_line_feed:
            return ended.syntax.accepts()
        return checkpoints.rejoins(ended.syntax, min(quote.end, self._raw_size) + self._shift)

    def ask(self, watching: Watching, quote: Quote, replacement: bytes) -> Answer:
        """The gate: whether the file parses with the edit. tree-sitter has the last word."""
        plan, gate = self._ledger.plan, self._ledger.targets[self._target].gate
        if plan.hopeless:
            return Answer.known(False, broken=True)
        changes = self._ledger.changes(self._target, quote, replacement)
        answer = gate.ask(changes, self.fits(watching, quote))
        answer.when_given(plan.count)
        return answer
