"""The edit being written: its place, what the syntax gate has said of it, and where it could have ended.

Knows no format: a replacement is a list of finished lines here, however they are written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cached_property

from dovetail.serve.constrain.copy.escaped import escaped
from dovetail.serve.constrain.syntax.gates import AllOf, Answer
from dovetail.serve.edit.ledger import Ledger, Quote
from dovetail.serve.edit.standing import Standing
from dovetail.serve.edit.watch import Watching
from dovetail.serve.edit.zones.far_trail import FarTrail
from dovetail.serve.edit.zones.renames import Renames, learnt_from, renamed
from dovetail.serve.edit.zones.zone import FirstLine, Step
from dovetail.serve.pointer import Trail

_WITNESS_TRIES, _WITNESS_BYTES = 64, 8 << 20
_EAGER_GATE_BYTES = 32_768
_TRAIL_BYTES, _TRAIL_WORTH_KEEPING = 1 << 20, 4096


_NO_TOKEN = Step(0, False)


class Line:
    """A finished line of a replacement and those before it: a linked list, shared by all later states.

    ``count``: the output tokens up to the line's end, or None if a token runs on over it. ``watching``: the watches behind it.
    """

    __slots__ = ("count", "previous", "text", "watching")

    def __init__(self, previous: Line | None, text: bytes, count: int | None, watching: Watching) -> None:
        self.previous = previous
        self.text = text
        self.count = count
        self.watching = watching

    def backwards(self) -> Iterator[Line]:
        """This line, the one before it, and so on."""
        line: Line | None = self
        while line is not None:
            yield line
            line = line.previous


def joined(lines: Line | None) -> bytes:
    """The text of the lines."""
    return b"".join(reversed([line.text for line in lines.backwards()])) if lines else b""


class OpenEdit:
    """The edit being written: its place, and a memo shared by all its states.

    ``in_json``: the replacement is written inside a JSON string. ``whole``: it is the whole file, and nothing was quoted.

    The memo is a cache but for ``refused``: the distinct replacements after which the model asked for the terminator and
    the gate refused it. Once there are ``Plan.refusal_limit``, the edit's states allow nothing, so that the step loop
    retreats. That is the one thing about a state that changes.
    """

    def __init__(
        self, ledger: Ledger, begin: int, target: int, quote: Quote, in_json: bool = False, whole: bool = False
    ) -> None:
        self.ledger = ledger
        self.begin = begin
        self.target = target
        self.quote = quote
        self.in_json = in_json
        self.whole = whole
        self._answers: dict[bytes, Answer] = {}
        self.refused: set[bytes] = set()

    def resumed(self, ledger: Ledger) -> OpenEdit:
        """The same edit after a retreat, with its verdicts and without its refusals."""
        twin = OpenEdit(ledger, self.begin, self.target, self.quote, self.in_json, self.whole)
        twin._answers = self._answers
        return twin

    @property
    def stuck(self) -> bool:
        """Whether the gate has refused too often."""
        plan = self.ledger.plan
        watched = self.ledger.checkpoints(self.target) is not None
        return len(self.refused) >= (plan.patient_limit if watched else plan.refusal_limit)

    @property
    def quoted(self) -> bytes:
        """The lines to replace, the imagined last line feed included."""
        return self.ledger.targets[self.target].prepared.text[self.quote.start : self.quote.end]

    @property
    def first_line(self) -> FirstLine | None:
        """The first line quoted."""
        if self.whole or self.quote.start == self.quote.end:
            return None
        return FirstLine(True, True, frozenset((self.quote.start,)))

    def given_up(self) -> tuple[int, frozenset[int]]:
        """The target and the line starts that this edit gives up when it is dropped."""
        starts = self.ledger.targets[self.target].prepared.starts_within(*self.quote)
        return self.target, frozenset((self.quote.start, *starts))

    @property
    def gate_is_cheap(self) -> bool:
        """Whether a draft may ask the gate ahead of the model."""
        raw = self.ledger.targets[self.target].prepared.raw
        plan = self.ledger.plan
        return plan.syntax != "each" or not plan.gates.blocking or len(raw) <= _EAGER_GATE_BYTES

    @cached_property
    def _standing(self) -> Standing:
        inserts = self.quote.start == self.quote.end
        return Standing(self.ledger, self.target, self.quote.start, inserts)

    @cached_property
    def watching(self) -> Watching:
        """Before the first byte of the replacement."""
        return self._standing.watching()

    @cached_property
    def renames(self) -> Renames:
        """What the edits before this one have renamed."""
        found: Renames = {}
        for target, edits in self.ledger.accepted.items():
            text = self.ledger.targets[target].prepared.text
            for quote, replacement in edits:
                found |= learnt_from(text[quote.start : quote.end], replacement)
        return found

    @cached_property
    def trail(self) -> Trail:
        """The quoted lines, renamed, as the tokenizer writes them; nothing of a quotation that takes long to write.

        Kept for later requests, since a whole file takes some 10 ms per 20 kB.
        """
        quoted, plan = self.quoted, self.ledger.plan
        if len(quoted) > _TRAIL_BYTES:
            return Trail(())
        expected = renamed(quoted, self.renames)
        text = escaped(expected.decode()).encode() if self.in_json else expected
        if len(text) < _TRAIL_WORTH_KEEPING:
            return FarTrail(plan.tokens_after(b"", text))
        key = "trail", hashlib.sha256(text).digest()
        return plan.vocabulary.derived(key, lambda: FarTrail(plan.tokens_after(b"", text)), 8 * len(text))

    def closes(self, replacement: bytes, watching: Watching, step: Step) -> bool:
        """The gate: whether the edit may end with ``replacement``, which ``watching`` has seen.

        Raises:
            Pending: it has not answered yet.
        """
        answer = self._answers.get(replacement)
        if answer is None:
            answer = self._answers[replacement] = self._ask(replacement, watching)
        verdict = step.trusts(answer)
        if not verdict and self.ledger.policing is not None:
            self.ledger.policing.note(answer)
        if step.sampled and not verdict:
            self.refused.add(replacement)
        return verdict

    def _ask(self, replacement: bytes, watching: Watching) -> Answer:
        plan, target = self.ledger.plan, self.ledger.targets[self.target]
        if plan.permits is not None and not plan.permits(target, self.quote, replacement):
            return Answer.known(False)
        policing = self.ledger.policing
        if not watching.may_end():
            return Answer.known(False)
        asked = [policing.ask(self.target, self.quote, replacement)] if policing is not None else []
        if plan.syntax == "each" and replacement != self.quoted:
            asked.append(self._standing.ask(watching, self.quote, replacement))
        return AllOf(asked) if asked else Answer.known(True)

    def known_to_refuse(self, replacement: bytes) -> bool:
        """Whether the gate has already said no to ``replacement``; asks nothing anew."""
        answer = self._answers.get(replacement)
        return answer is not None and answer.ready and not answer.holds

    def witness(self, lines: Line | None) -> Line | None:
        """The last line end, at a token's end, at which the edit may end; the empty replacement is none.

        Looked for from the latest on, in at most 64 places (fewer in a large file: some 8 MiB are parsed in all): the
        recogniser first, the gate only where it does not say no.

        Raises:
            Pending: a gate has not answered yet.
        """
        target = self.ledger.targets[self.target]
        tries = min(_WITNESS_TRIES, max(8, _WITNESS_BYTES // (len(target.prepared.raw) + 1)))
        for line in lines.backwards() if lines else ():
            if line.count is None:
                continue
            if not tries:
                return None
            tries -= 1
            text = joined(line)
            if self._seems_to_close(text, line.watching) and self.closes(text, line.watching, _NO_TOKEN):
                return line
        return None

    def _seems_to_close(self, replacement: bytes, watching: Watching) -> bool:
        if replacement == self.quoted:
            return True
        return self._standing.fits(watching, self.quote) is not False
