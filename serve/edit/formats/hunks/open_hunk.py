"""The hunk being written: its lines so far, what may be its place, and what the gate has said of it. Reads no bytes of an answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

from dovetail.serve.constrain.copy.prepared import Region
from dovetail.serve.constrain.copy.quotation import Interval, Quotable
from dovetail.serve.constrain.syntax.gates import AllOf, Answer
from dovetail.serve.edit.formats.hunks.dialect import Dialect
from dovetail.serve.edit.formats.hunks.watching import Ways, few
from dovetail.serve.edit.ledger import Ledger, Quote
from dovetail.serve.edit.standing import Standing
from dovetail.serve.edit.watch import Watching
from dovetail.serve.edit.zones.zone import Step
from dovetail.serve.pointer import Trail

KEPT, DELETED, ADDED = 0x20, 0x2D, 0x2B
"""The bytes that lead a line."""

_CANDIDATES_AT_MOST = 16


class HunkLine:
    """A finished line and those before it: a linked list. ``at``: the quotation behind it; ``count``: as in open_edit.Line.

    ``ways``: the watches behind it, where it ends with a token.
    """

    def __init__(self, previous: HunkLine | None, mark: int, text: bytes, at: Interval, count: int | None) -> None:
        self.ways = Ways()
        self.previous = previous
        self.mark = mark
        self.text = text
        self.at = at
        self.count = count
        self.changed: bool = mark != KEPT or (previous is not None and previous.changed)

    def backwards(self) -> Iterator[HunkLine]:
        """This line, the one before it, and so on."""
        line: HunkLine | None = self
        while line is not None:
            yield line
            line = line.previous

    @cached_property
    def deleted(self) -> tuple[bytes, ...]:
        """The last run of deleted lines, with new lines behind it or not; what such new lines are likely to resemble."""
        run_of: list[bytes] = []
        for line in self.backwards():
            if line.mark == DELETED:
                run_of.append(line.text)
            elif run_of or line.mark == KEPT:
                break
        return tuple(reversed(run_of))

    @property
    def replacement(self) -> bytes:
        """The text that the hunk up to here puts in the quotation's place."""
        return b"".join(reversed([line.text for line in self.backwards() if line.mark != DELETED]))


class OpenHunk:
    """The hunk being written, and a memo shared by its states; see open_edit.OpenEdit for ``refused``."""

    def __init__(self, ledger: Ledger, begin: int, target: int, region: Region, dialect: Dialect) -> None:
        self.ledger = ledger
        self.begin = begin
        self.target = target
        self.region = region
        self.dialect = dialect
        self.quotable: Quotable = ledger.targets[target].quotable()
        self._answers: dict[tuple[Quote, bytes], Answer] = {}
        self._trails: dict[tuple[bytes, ...], Trail] = {}
        self._standings: dict[int, Standing] = {}
        self.refused: set[tuple[Quote, bytes]] = set()

    def resumed(self) -> OpenHunk:
        """The same hunk after a retreat, with its verdicts and without its refusals."""
        twin = OpenHunk(self.ledger.resumed(), self.begin, self.target, self.region, self.dialect)
        twin._answers, twin._trails = self._answers, self._trails
        return twin

    @property
    def stuck(self) -> bool:
        """Whether the gate has refused too often."""
        plan = self.ledger.plan
        return len(self.refused) >= (plan.refusal_limit if self.unwatched else plan.patient_limit)

    @cached_property
    def unwatched(self) -> bool:
        """Whether nothing watches the hunk's text, wherever it stands."""
        return not self.ledger.plan.openings and self.ledger.checkpoints(self.target) is None

    @property
    def empty(self) -> bool:
        """Whether the file has no lines to quote."""
        return not self.quotable.prepared.raw

    def place(self, line: HunkLine | None) -> Quote | None:
        """What the quotation names behind ``line``, if the hunk may end there as far as its place is concerned."""
        if line is None or not line.changed:
            return None
        if self.empty:
            return Quote(0, 0)
        closing = self.quotable.closing(self.region, line.at)
        return Quote(*closing) if closing else None

    def standing(self, start: int) -> Standing:
        """The hunk, if it begins at ``start``."""
        if start not in self._standings:
            self._standings[start] = Standing(self.ledger, self.target, start)
        return self._standings[start]

    def opened(self, start: int) -> Watching:
        """The watches before the hunk's first byte, if it begins at ``start``."""
        return self.standing(start).watching()

    def starts(self, at: Interval) -> Sequence[int] | None:
        """Where the hunk may begin; None: at too many places to be named."""
        if self.empty:
            return (0,)
        if at.high - at.low > _CANDIDATES_AT_MOST:
            return None
        order, room = self.quotable.prepared.order, self.region.room
        return few([order[rank] for rank in range(at.low, at.high) if room[rank] >= at.depth])

    def closes(self, quote: Quote, replacement: bytes, ways: Ways, step: Step) -> bool:
        """The gate: whether the hunk may end with ``replacement``, which ``ways`` have seen; see open_edit.OpenEdit."""
        key = quote, replacement
        answer = self._answers.get(key)
        if answer is None:
            answer = self._answers[key] = self._ask(quote, replacement, ways)
        verdict = step.trusts(answer)
        if not verdict and self.ledger.policing is not None:
            self.ledger.policing.note(answer)
        if step.sampled and not verdict:
            self.refused.add(key)
        return verdict

    def known_to_refuse(self, quote: Quote, replacement: bytes) -> bool:
        """Whether the gate has already said no; asks nothing anew."""
        answer = self._answers.get((quote, replacement))
        return answer is not None and answer.ready and not answer.holds

    def _ask(self, quote: Quote, replacement: bytes, ways: Ways) -> Answer:
        watching = (ways.places or {}).get(quote.start, Watching(None))
        policing = self.ledger.policing
        if not watching.may_end():
            return Answer.known(False)
        asked = [policing.ask(self.target, quote, replacement)] if policing is not None else []
        if self.ledger.plan.syntax == "each":
            asked.append(self.standing(quote.start).ask(watching, quote, replacement))
        return AllOf(asked) if asked else Answer.known(True)

    def trail(self, deleted: tuple[bytes, ...]) -> Trail:
        """The deleted lines as new ones, in the tokenizer's words."""
        if deleted not in self._trails:
            text = b"".join(b"+" + line for line in deleted)
            self._trails[deleted] = Trail(self.ledger.plan.tokens_after(b"", text))
        return self._trails[deleted]
