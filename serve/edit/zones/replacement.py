"""A replacement written as plain lines: any text, and the terminator once the file would parse. Knows nothing of quoting.

A line whose first bytes are the plan's closing run *is* the terminator.
"""

from __future__ import annotations

from dovetail.serve.constrain.base import Draft, Int32Array
from dovetail.serve.constrain.utf8 import START, run
from dovetail.serve.edit.watch import Watching
from dovetail.serve.edit.zones.in_edit import Closing, Writing
from dovetail.serve.edit.zones.open_edit import Line, OpenEdit, joined
from dovetail.serve.edit.zones.renames import Renaming
from dovetail.serve.edit.zones.zone import NOTHING, Step, Zone
from dovetail.serve.pointer import Pointer, Trail


class Replacing(Writing):
    """``watching`` has seen all of it but a beginning of a line that may become the terminator.

    ``renaming``: the draft's trail, once this replacement has renamed something; None: the block's.
    """

    __slots__ = ("renaming",)

    def __init__(
        self,
        block: OpenEdit,
        lines: Line | None,
        partial: bytes,
        decoder: int,
        pointer: Pointer,
        watching: Watching,
        renaming: Renaming | None = None,
    ) -> None:
        super().__init__(block, lines, partial, decoder, pointer, watching)
        self.renaming = renaming

    @classmethod
    def begun(cls, block: OpenEdit) -> Replacing:
        """Behind the divider."""
        return cls(block, None, b"", START, Pointer(), block.watching)

    def passes(self, token: int) -> bool:
        """Quick and exact where True: a plain token in the middle of a line."""
        plan = self.ledger.plan
        return (
            self.watching.idle
            and self.decoder == START
            and bool(self.partial)
            and not plan.closing_run.startswith(self.partial)
            and token < len(plan.vocabulary)
            and bool(plan.vocabulary.plain[token])
            and not self.block.stuck
        )

    def feed(self, data: bytes, step: Step) -> Zone | None:
        plan = self.ledger.plan
        decoder = run(self.decoder, data)
        if self.block.stuck or decoder is None or self.ledger.targets[self.block.target].controls.search(data):
            return None
        lines, partial, position, watching = self.lines, self.partial, 0, self.watching
        while True:
            stop = data.find(b"\n", position) + 1
            fresh = data[position : stop or len(data)]
            line = partial + fresh
            if len(partial) < len(plan.closing_run) and line.startswith(plan.closing_run):
                return self._closed(lines, watching, partial + data[position:], step)
            seen = watching.feed(line if plan.closing_run.startswith(partial) else fresh)
            held = plan.closing_run.startswith(line)
            if seen is None and not (held and self.block.closes(joined(lines), watching, step)):
                return None  # Nor does the terminator begin here.
            watching = watching if held or seen is None else seen
            if not stop:
                if not watching.completes(decoder):
                    return None
                return Replacing(self.block, lines, line, decoder, self.pointer, watching, self.renaming)
            count = step.tokens if stop == len(data) else None
            lines, partial, position = Line(lines, line, count, watching), b"", stop

    def _closed(self, lines: Line | None, watching: Watching, typed: bytes, step: Step) -> Zone | None:
        if not self.ledger.plan.closing_line.startswith(typed):  # Nor may a token go on behind the terminator.
            return None
        replacement = joined(lines)
        if not self.block.closes(replacement, watching, step):
            return None
        return Closing.at(self.block, replacement, len(typed))

    def pointing(self, pointer: Pointer) -> Zone:
        return Replacing(self.block, self.lines, self.partial, self.decoder, pointer, self.watching, self.renaming)

    def followed(self, token: int, before: Zone) -> Zone:
        """As anywhere in a replacement; behind a line, what it renamed is renamed in what comes."""
        if not isinstance(before, Replacing):
            return super().followed(token, before)
        pointer, renaming = self._trail.after(self.pointer, token), self.renaming
        if self.lines is not None and self.lines is not before.lines and not self.partial and pointer.place is not None:
            known = renaming or Renaming(self.block.trail, self.block.renames)
            renaming = known.behind(self.lines.text, pointer.place, self.ledger.plan)
        return Replacing(self.block, self.lines, self.partial, self.decoder, pointer, self.watching, renaming)

    @property
    def _trail(self) -> Trail:
        return self.renaming.trail if self.renaming is not None else self.block.trail

    def drafts(self, spelling: bytes) -> bool:
        if self.block.gate_is_cheap:
            return True
        return b"\n" + self.ledger.plan.closing_run[:1] not in b"\n" + self.partial + spelling

    def mask(self) -> Int32Array:
        plan = self.ledger.plan
        if self.block.stuck:
            return plan.vocabulary.pack(())
        mask = plan.vocabulary.text_mask(
            self.decoder, controls=not self.ledger.targets[self.block.target].usual_controls
        )
        if plan.closing_run.startswith(self.partial) and self.block.known_to_refuse(joined(self.lines)):
            rest = plan.closing_run[len(self.partial) :]
            table = plan.vocabulary.prefixes
            if rest in table:
                mask = mask & ~plan.vocabulary.pack([*table[rest], *plan.vocabulary.under(rest)])
        return mask

    def guess(self, limit: int) -> Draft:
        plan, trail = self.ledger.plan, self._trail
        begun = bool(self.partial) and plan.closing_run.startswith(self.partial)
        if begun or (trail.finished(self.pointer) and bool(trail.tokens) and not self.partial):
            return Draft(plan.tokens_after(self.partial, plan.closing_line[len(self.partial) :])[:limit])
        tokens = trail.propose(self.pointer, limit)
        return Draft(tokens, evidence=self.pointer.evidence) if tokens else NOTHING
