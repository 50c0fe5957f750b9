"""The lines of a hunk: quoted lines of the file, kept or deleted, and any new lines between them.

The hunk form of the copy engine: what the lines led by a space or a minus sign hold is one quotation of the file, whole
lines that follow each other; lines led by a plus sign may stand anywhere. A hunk ends where the next head or the end marker
begins, at a token's beginning, once its quotation is unique in the file and the file would parse.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dovetail.serve.constrain.base import Draft, Int32Array
from dovetail.serve.constrain.copy.quotation import Interval
from dovetail.serve.constrain.utf8 import START, run
from dovetail.serve.edit.formats.hunks.open_hunk import ADDED, DELETED, KEPT, HunkLine, OpenHunk
from dovetail.serve.edit.formats.hunks.watching import Text, Ways
from dovetail.serve.edit.watch import Watching
from dovetail.serve.edit.zones.zone import NOTHING, FirstLine, Step, Zone
from dovetail.serve.pointer import Pointer

_WITNESS_TRIES = 64
_EAGER_GATE_BYTES = 32_768
_BAN_AT_MOST = 16
_USUAL_CONTEXT = 3


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

    def first_line(self) -> FirstLine | None:
        if self.hunk.empty:
            return None
        return FirstLine.of(self.hunk.quotable.prepared, self.at, self.hunk.starts(self.at) or ())

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
                return Draft(tokens, evidence=self.pointer.evidence)
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
