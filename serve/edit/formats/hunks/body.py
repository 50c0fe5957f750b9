"""The lines of a hunk: quoted lines of the file, kept or deleted, and any new lines between them.

The hunk form of the copy engine: what the lines led by a space or a minus sign hold is one quotation of the file, whole
lines that follow each other; lines led by a plus sign may stand anywhere. A hunk ends where the next head or the end marker
begins, at a token's beginning, once its quotation is unique in the file and the file would parse.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

from dovetail.serve.constrain.base import Draft, Int32Array
from dovetail.serve.constrain.copy.prepared import Region
from dovetail.serve.constrain.copy.quotation import Interval, Quotable
from dovetail.serve.constrain.syntax.gates import Answer
from dovetail.serve.constrain.utf8 import START, run
from dovetail.serve.edit.formats.hunks.dialect import Dialect
from dovetail.serve.edit.formats.hunks.watching import Text, Ways, few
from dovetail.serve.edit.ledger import Ledger, Quote
from dovetail.serve.edit.standing import Standing
from dovetail.serve.edit.watch import Watching
from dovetail.serve.edit.zones.zone import NOTHING, Step, Zone
from dovetail.serve.pointer import Pointer, Trail

KEPT, DELETED, ADDED = 0x20, 0x2D, 0x2B
"""The bytes that lead a line."""

_WITNESS_TRIES = 64
_EAGER_GATE_BYTES = 32_768
_BAN_AT_MOST = 16
_USUAL_CONTEXT = 3
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
        if step.sampled and not verdict:
            self.refused.add(key)
        return verdict

    def known_to_refuse(self, quote: Quote, replacement: bytes) -> bool:
        """Whether the gate has already said no; asks nothing anew."""
        answer = self._answers.get((quote, replacement))
        return answer is not None and answer.ready and not answer.holds

    def _ask(self, quote: Quote, replacement: bytes, ways: Ways) -> Answer:
        watching = (ways.places or {}).get(quote.start, Watching(None))
        if not watching.may_end():
            return Answer.known(False)
        if self.ledger.plan.syntax != "each":
            return Answer.known(True)
        return self.standing(quote.start).ask(watching, quote, replacement)

    def trail(self, deleted: tuple[bytes, ...]) -> Trail:
        """The deleted lines as new ones, in the tokenizer's words."""
        if deleted not in self._trails:
            text = b"".join(b"+" + line for line in deleted)
            self._trails[deleted] = Trail(self.ledger.plan.tokens_after(b"", text))
        return self._trails[deleted]


class HunkBody(Zone):
    """``last``: the line before; ``mark``: what leads the current one (None: it has not begun); ``at``: the quotation.

    ``partial``: the beginning of the current line. ``only_end``: nothing but the hunk's end may follow. ``ways``: the watches.
    """

    __slots__ = ("at", "decoder", "hunk", "last", "mark", "only_end", "partial", "pointer", "ways")

    def __init__(
        self,
        hunk: OpenHunk,
        last: HunkLine | None,
        at: Interval,
        *,
        mark: int | None = None,
        partial: bytes = b"",
        decoder: int = START,
        only_end: bool = False,
        pointer: Pointer | None = None,
        ways: Ways | None = None,
    ) -> None:
        super().__init__(hunk.ledger, hunk.begin)
        self.ways = ways or Ways()
        self.hunk = hunk
        self.last = last
        self.at = at
        self.mark = mark
        self.partial = partial
        self.decoder = decoder
        self.only_end = only_end
        self.pointer = pointer or Pointer()

    @classmethod
    def begun(cls, hunk: OpenHunk) -> HunkBody:
        """Behind the hunk's head."""
        return cls(hunk, None, hunk.quotable.start())

    @property
    def stuck(self) -> bool:
        return self.hunk.stuck

    @property
    def undecided(self) -> bool:
        return self.mark is None and self.only_end

    def passes(self, token: int) -> bool:
        plain = self.ledger.plan.vocabulary.plain
        return (
            self.mark == ADDED
            and self.decoder == START
            and self.hunk.unwatched
            and token < len(plain)
            and bool(plain[token])
            and not self.stuck
        )

    def feed(self, data: bytes, step: Step) -> Zone | None:
        if self.stuck:
            return None
        last, at, mark, partial, decoder, position = self.last, self.at, self.mark, self.partial, self.decoder, 0
        fresh: list[Text] = []
        while position < len(data):
            if mark is None:
                mark = data[position]
                if self.only_end or not self._offers(mark, at):
                    return self._ended(data, step) if position == 0 else None  # A hunk ends where a token does.
                position += 1
                continue
            stop = data.find(b"\n", position) + 1
            piece = data[position : stop or len(data)]
            if mark == ADDED:
                following = run(decoder, piece)
                if following is None or self.ledger.targets[self.hunk.target].controls.search(piece):
                    return None
                decoder, partial = following, partial + piece
            else:
                moved = self.hunk.quotable.feed(self.hunk.region, at, piece)
                if moved is None:
                    return None
                partial, at = partial + piece, moved
            position += len(piece)
            if mark != DELETED:
                fresh.append((piece, mark == ADDED))
            if stop:
                last = HunkLine(last, mark, partial, at, step.tokens if position == len(data) else None)
                mark, partial = None, b""
        ways = self._watched(fresh, last, at, mark, partial)
        if ways is None:
            return None
        if last is not None and last.count == step.tokens:
            last.ways = ways
        return HunkBody(
            self.hunk, last, at, mark=mark, partial=partial, decoder=decoder, pointer=self.pointer, ways=ways
        )

    def _watched(
        self, fresh: Sequence[Text], last: HunkLine | None, at: Interval, mark: int | None, partial: bytes
    ) -> Ways | None:
        if self.hunk.unwatched:
            return self.ways

        def so_far() -> Iterator[Text]:
            for line in reversed(list(last.backwards()) if last else []):
                if line.mark != DELETED:
                    yield line.text, line.mark == ADDED
            if mark in (KEPT, ADDED):
                yield partial, mark == ADDED

        return self.ways.feed(fresh, so_far, self.hunk.starts(at), self.hunk.opened)

    def _offers(self, mark: int, at: Interval) -> bool:
        if mark == ADDED:
            return True
        if mark not in (KEPT, DELETED) or self.hunk.empty:
            return False
        return self.hunk.region.reaches(at.low, at.high, at.depth + 1)

    def _ended(self, data: bytes, step: Step) -> Zone | None:
        if not any(ending.startswith(data) or data.startswith(ending) for ending in self.hunk.dialect.endings):
            return None
        quote = self.hunk.place(self.last)
        if quote is None or self.last is None:
            return None
        replacement = self.last.replacement
        if not self.hunk.closes(quote, replacement, self.ways, step):
            return None
        after = self.ledger.accept(self.hunk.target, quote, replacement)
        return self.ledger.plan.after_edit(after, self.begin, step.tokens - 1).feed(data, step)

    def followed(self, token: int, before: Zone) -> Zone:
        deleted = self.last.deleted if self.last is not None else ()
        if not isinstance(before, HunkBody) or not deleted or self.mark in (KEPT, DELETED):
            return self
        if before.mark != DELETED:
            pointer = self.hunk.trail(deleted).after(before.pointer, token)
        elif self.mark is None:
            return self
        else:
            pointer = Pointer(None, 0, 1)  # The token ran on over the line's end.
        return HunkBody(
            self.hunk,
            self.last,
            self.at,
            mark=self.mark,
            partial=self.partial,
            decoder=self.decoder,
            only_end=self.only_end,
            pointer=pointer,
            ways=self.ways,
        )

    def witness(self) -> tuple[int, Zone] | None:
        tries = _WITNESS_TRIES
        for line in self.last.backwards() if self.last else ():
            quote = self.hunk.place(line) if line.count is not None else None
            if quote is None or line.count is None:
                continue
            if not tries or not line.changed:
                return None
            tries -= 1
            watching = (line.ways.places or {}).get(quote.start, Watching(None))
            if self.hunk.standing(quote.start).fits(watching, quote) is False:
                continue
            if self.hunk.closes(quote, line.replacement, line.ways, Step(0, False)):
                return line.count, HunkBody(self.hunk.resumed(), line, line.at, only_end=True, ways=line.ways)
        return None

    def given_up(self) -> tuple[int | None, frozenset[int]]:
        """The lines quoted, or the candidates for their beginning, unless hardly anything is quoted yet."""
        target, prepared = self.hunk.target, self.hunk.quotable.prepared
        quote = self.hunk.place(self.last)
        if quote is not None:
            return target, frozenset((quote.start, *prepared.starts_within(*quote)))
        if not self.at.depth or self.at.high - self.at.low > _BAN_AT_MOST:
            return target, frozenset()
        return target, frozenset(prepared.order[self.at.low : self.at.high])

    def mask(self) -> Int32Array:
        vocabulary = self.ledger.plan.vocabulary
        if self.stuck:
            return vocabulary.pack(())
        if self.mark == ADDED:
            usual = self.ledger.targets[self.hunk.target].usual_controls
            return vocabulary.text_mask(self.decoder, controls=not usual)
        changed = self.mark == DELETED or (self.last is not None and self.last.changed)
        key = self.hunk.dialect.begin, self.mark, changed, self.only_end
        return self.hunk.quotable.kept_mask(self.hunk.region, self.at, key, super().mask)

    def branches(self) -> Sequence[bytes] | None:
        if self.mark == ADDED:
            return None
        if self.mark is not None:
            return self.hunk.quotable.continuations(self.hunk.region, self.at)
        if self.only_end:
            return ()
        return [bytes((mark,)) for mark in (KEPT, DELETED, ADDED) if self._offers(mark, self.at)]

    def endings(self) -> Sequence[bytes]:
        """The literals behind a hunk, if its place is unique and the gate is not known to refuse."""
        quote = self.hunk.place(self.last) if self.mark is None else None
        if quote is None or self.last is None:
            return ()
        refused = self.hunk.known_to_refuse(quote, self.last.replacement)
        return () if refused else self.hunk.dialect.endings

    def drafts(self, spelling: bytes) -> bool:
        plan = self.ledger.plan
        if self.mark is not None or plan.syntax != "each" or not plan.gates.blocking:
            return True
        return len(self.hunk.quotable.prepared.raw) <= _EAGER_GATE_BYTES or spelling[0] in (KEPT, DELETED, ADDED)

    def guess(self, limit: int) -> Draft:
        """The rest of a quoted line; new lines like those just deleted; the file's next line."""
        if self.mark in (KEPT, DELETED):
            return self._line_rest(limit)
        if self.only_end or self.last is None:
            return NOTHING
        if self.last.deleted:
            trail = self.hunk.trail(self.last.deleted)
            tokens = trail.propose(self.pointer, limit)
            if tokens or not trail.finished(self.pointer):
                return Draft(tokens)
        return self._next_line(self.last, limit) if self.mark is None else NOTHING

    def _next_line(self, last: HunkLine, limit: int) -> Draft:
        """The line of the file that comes next: kept, but deleted after as many kept ones as usually lead a hunk."""
        if self.at.high - self.at.low != 1 or self.hunk.empty or not self._offers(KEPT, self.at):
            return NOTHING
        kept = next((k for k, line in enumerate(last.backwards()) if line.mark != KEPT), _USUAL_CONTEXT)
        if kept >= _USUAL_CONTEXT and last.changed:
            return NOTHING
        prepared = self.hunk.quotable.prepared
        position = prepared.order[self.at.low] + self.at.depth
        mark = bytes((KEPT if kept < _USUAL_CONTEXT else DELETED,))
        text = mark + prepared.text[position : prepared.line_end(position)]
        return Draft(self.ledger.plan.tokens_after(b"", text)[:limit])

    def _line_rest(self, limit: int) -> Draft:
        prepared, region = self.hunk.quotable.prepared, self.hunk.region
        span = range(self.at.low, min(self.at.high, self.at.low + 3))
        starts = [prepared.order[rank] for rank in span if region.room[rank] > self.at.depth]
        if not starts or len(starts) > 2 or not self.partial:
            return NOTHING
        position = starts[0] + self.at.depth
        assert self.mark is not None
        context = bytes((self.mark,)) + self.partial
        tokens = self.ledger.plan.tokens_after(context, prepared.text[position : prepared.line_end(position)])[:limit]
        return Draft(tokens, len(tokens) if len(starts) == 1 and self.at.high - self.at.low == 1 else 0)
