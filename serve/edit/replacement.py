"""The REPLACE part: any lines of text, and the terminator once the file would parse. Knows nothing of quoting.

A line whose first bytes are the closing run of the replace marker *is* the terminator.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from dovetail.serve.constrain.base import Draft, Int32Array
from dovetail.serve.constrain.utf8 import START, run
from dovetail.serve.edit.ledger import Ledger, Quote
from dovetail.serve.edit.zone import NOTHING, Step, Zone
from dovetail.serve.pointer import Pointer, Trail

_WITNESS_TRIES, _WITNESS_BYTES = 64, 8 << 20
_EAGER_GATE_BYTES = 32_768
_TRAIL_BYTES = 65_536


class Line:
    """A finished line of a replacement and those before it: a linked list, shared by all later states.

    ``count``: the output tokens up to the line's end, or None if a token runs on over it.
    """

    __slots__ = ("count", "previous", "text")

    def __init__(self, previous: Line | None, text: bytes, count: int | None) -> None:
        self.previous = previous
        self.text = text
        self.count = count

    def backwards(self) -> Iterator[Line]:
        """This line, the one before it, and so on."""
        line: Line | None = self
        while line is not None:
            yield line
            line = line.previous


def joined(lines: Line | None) -> bytes:
    """The text of the lines."""
    return b"".join(reversed([line.text for line in lines.backwards()])) if lines else b""


class OpenBlock:
    """The block being written: its place, and a memo shared by all its states.

    The memo is a cache but for ``refused``: the distinct replacements after which the model asked for the terminator and
    the gate refused it. Once there are ``Plan.refusal_limit``, the block's states allow nothing, so that the step loop
    retreats. That is the one thing about a state that changes.
    """

    def __init__(self, ledger: Ledger, begin: int, target: int, quote: Quote) -> None:
        self.ledger = ledger
        self.begin = begin
        self.target = target
        self.quote = quote
        self._verdicts: dict[bytes, bool] = {}
        self.refused: set[bytes] = set()

    def resumed(self, ledger: Ledger) -> OpenBlock:
        """The same block after a retreat, with its verdicts and without its refusals."""
        twin = OpenBlock(ledger, self.begin, self.target, self.quote)
        twin._verdicts = self._verdicts
        return twin

    @property
    def stuck(self) -> bool:
        """Whether the gate has refused too often."""
        return len(self.refused) >= self.ledger.plan.refusal_limit

    @property
    def quoted(self) -> bytes:
        """The lines to replace, the imagined last line feed included."""
        return self.ledger.plan.targets[self.target].prepared.text[self.quote.start : self.quote.end]

    @cached_property
    def trail(self) -> Trail:
        """The quoted lines as the tokenizer writes them; nothing of a quotation that takes long to write."""
        quoted = self.quoted
        return Trail(self.ledger.plan.tokens_after(b"", quoted) if len(quoted) <= _TRAIL_BYTES else ())

    def closes(self, replacement: bytes, sampled: bool) -> bool:
        """The gate: whether the block may end with ``replacement``."""
        if replacement == self.quoted:
            return True
        verdict = self._verdicts.get(replacement)
        if verdict is None:
            target = self.ledger.plan.targets[self.target]
            verdict = target.gate.holds(self.ledger.changes(self.target, self.quote, replacement))
            self._verdicts[replacement] = verdict
        if sampled and not verdict:
            self.refused.add(replacement)
        return verdict

    def known_to_refuse(self, replacement: bytes) -> bool:
        """Whether the gate has already said no to ``replacement``; asks nothing anew."""
        return self._verdicts.get(replacement) is False

    def witness(self, lines: Line | None) -> Line | None:
        """The last line end, at a token's end, at which the block may end; the empty replacement is none.

        Looked for from the latest on, in at most 64 places (fewer in a large file: some 8 MiB are parsed in all): a quick
        guess first, the gate only where it says yes.
        """
        target = self.ledger.plan.targets[self.target]
        tries = min(_WITNESS_TRIES, max(8, _WITNESS_BYTES // (len(target.prepared.raw) + 1)))
        for line in lines.backwards() if lines else ():
            if line.count is None:
                continue
            if not tries:
                return None
            tries -= 1
            text = joined(line)
            guess = target.gate.seems_to_hold(self.ledger.changes(self.target, self.quote, text))
            if (text == self.quoted or guess) and self.closes(text, sampled=False):
                return line
        return None


class Replacing:
    """Inside a replacement: its finished ``lines``, the beginning of the current one, the UTF-8 decoder's state."""

    __slots__ = ("block", "decoder", "lines", "partial", "pointer")

    def __init__(self, block: OpenBlock, lines: Line | None, partial: bytes, decoder: int, pointer: Pointer) -> None:
        self.block = block
        self.lines = lines
        self.partial = partial
        self.decoder = decoder
        self.pointer = pointer

    @classmethod
    def begun(cls, block: OpenBlock) -> Replacing:
        """Behind the divider."""
        return cls(block, None, b"", START, Pointer())

    @property
    def begin(self) -> int:
        return self.block.begin

    @property
    def ledger(self) -> Ledger:
        return self.block.ledger

    def passes(self, token: int) -> bool:
        """Quick and exact where True: a plain token in the middle of a line."""
        plan = self.ledger.plan
        return (
            self.decoder == START
            and bool(self.partial)
            and not plan.closing_run.startswith(self.partial)
            and token < len(plan.vocabulary)
            and bool(plan.vocabulary.plain[token])
            and not self.block.stuck
        )

    def feed(self, data: bytes, step: Step) -> Zone | None:
        plan = self.ledger.plan
        decoder = run(self.decoder, data)
        if self.block.stuck or decoder is None or plan.targets[self.block.target].controls.search(data):
            return None
        lines, partial, position = self.lines, self.partial, 0
        while True:
            stop = data.find(b"\n", position) + 1
            line = partial + (data[position:stop] if stop else data[position:])
            if len(partial) < len(plan.closing_run) and line.startswith(plan.closing_run):
                return self._closed(lines, partial + data[position:], step)
            if not stop:
                return Replacing(self.block, lines, line, decoder, self.pointer)
            lines, partial, position = Line(lines, line, step.tokens if stop == len(data) else None), b"", stop

    def _closed(self, lines: Line | None, typed: bytes, step: Step) -> Zone | None:
        if not self.ledger.plan.replace_line.startswith(typed):  # Nor may a token go on behind the terminator.
            return None
        replacement = joined(lines)
        return Closing.at(self.block, replacement, len(typed)) if self.block.closes(replacement, step.sampled) else None

    def followed(self, token: int) -> Replacing:
        """With the draft's pointer moved on by the token that led here."""
        moved = self.block.trail.after(self.pointer, token)
        return Replacing(self.block, self.lines, self.partial, self.decoder, moved)

    def found(self) -> Replacing:
        """As it is just behind the divider: if the divider's token ran on over it, the pointer begins lost."""
        if self.lines is None and not self.partial:
            return self
        return Replacing(self.block, self.lines, self.partial, self.decoder, Pointer(None, 0, 1))

    def mask(self) -> Int32Array:
        plan = self.ledger.plan
        if self.block.stuck:
            return plan.vocabulary.pack(())
        mask = plan.vocabulary.text_mask(self.decoder, controls=not plan.targets[self.block.target].usual_controls)
        if plan.closing_run.startswith(self.partial) and self.block.known_to_refuse(joined(self.lines)):
            rest = plan.closing_run[len(self.partial) :]
            table = plan.vocabulary.prefixes
            if rest in table:
                mask = mask & ~plan.vocabulary.pack([*table[rest], *plan.vocabulary.under(rest)])
        return mask

    def guess(self, limit: int) -> Draft:
        plan, trail = self.ledger.plan, self.block.trail
        begun = bool(self.partial) and plan.closing_run.startswith(self.partial)
        if begun or (trail.finished(self.pointer) and bool(trail.tokens) and not self.partial):
            return Draft(plan.tokens_after(self.partial, plan.replace_line[len(self.partial) :])[:limit])
        tokens = trail.propose(self.pointer, limit)
        return Draft(tokens) if tokens else NOTHING

    @property
    def gate_is_cheap(self) -> bool:
        """Whether a draft may ask the gate ahead of the model."""
        return len(self.ledger.plan.targets[self.block.target].prepared.raw) <= _EAGER_GATE_BYTES


class Closing:
    """In the terminator, of which ``passed`` bytes have been read; nothing but its rest may follow."""

    __slots__ = ("block", "passed", "replacement")

    def __init__(self, block: OpenBlock, replacement: bytes, passed: int) -> None:
        self.block = block
        self.replacement = replacement
        self.passed = passed

    @classmethod
    def at(cls, block: OpenBlock, replacement: bytes, passed: int) -> Zone:
        """With ``passed`` bytes read: all of them close the block."""
        if passed == len(block.ledger.plan.replace_line):
            return Closed(block.ledger.accept(block.target, block.quote, replacement), block.begin)
        return cls(block, replacement, passed)

    @property
    def begin(self) -> int:
        return self.block.begin

    @property
    def ledger(self) -> Ledger:
        return self.block.ledger

    def feed(self, data: bytes, step: Step) -> Zone | None:
        if not self._rest.startswith(data):
            return None
        return Closing.at(self.block, self.replacement, self.passed + len(data))

    def mask(self) -> Int32Array:
        return self.ledger.plan.vocabulary.pack(self.ledger.plan.vocabulary.along(self._rest))

    def guess(self, limit: int) -> Draft:
        line = self.ledger.plan.replace_line
        tokens = self.ledger.plan.tokens_after(line[: self.passed], self._rest)[:limit]
        return Draft(tokens, len(tokens))

    @property
    def _rest(self) -> bytes:
        return self.ledger.plan.replace_line[self.passed :]


class Closed:
    """A block has just been accepted; the constraint goes on with a header. Lives for one token only."""

    __slots__ = ("begin", "ledger")

    def __init__(self, ledger: Ledger, begin: int) -> None:
        self.ledger = ledger
        self.begin = begin

    def feed(self, data: bytes, step: Step) -> Zone | None:
        return None

    def mask(self) -> Int32Array:
        return self.ledger.plan.vocabulary.pack(())

    def guess(self, limit: int) -> Draft:
        return NOTHING
