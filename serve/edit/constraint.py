"""The constraint that holds an output to search/replace blocks that fit: zones driven token by token.

Counts output tokens, so that it can say what to keep. Knows nothing of models, sampling or the step loop's order.
"""

from __future__ import annotations

from dovetail.serve.constrain.base import Draft, Int32Array, Retreat
from dovetail.serve.edit.header import Header
from dovetail.serve.edit.ledger import Ledger
from dovetail.serve.edit.plan import Plan
from dovetail.serve.edit.quoting import Quoting
from dovetail.serve.edit.replacement import Closed, Closing, Line, Replacing, joined
from dovetail.serve.edit.zone import Step, Zone


class EditConstraint:
    """One state after ``count`` output tokens (see dovetail.serve.constrain.base.Constraint for the contract).

    Immutable, except that a block whose terminator the gate has refused ``Plan.refusal_limit`` times allows nothing from
    then on in any of its states: ``mask_into`` writes an empty mask, and the step loop retreats.
    """

    __slots__ = ("_next", "count", "plan", "zone")

    def __init__(self, plan: Plan, zone: Zone, count: int) -> None:
        self.plan = plan
        self.zone = zone
        self.count = count
        self._next: tuple[int, Zone] | None = None

    @classmethod
    def initial(cls, plan: Plan) -> EditConstraint:
        """Before the first token."""
        return cls(plan, Header.between(Ledger(plan), 0), 0)

    def allows(self, token: int) -> bool:
        """Exact: whether ``token`` may come next. A terminator that the gate refuses counts as one of its refusals."""
        if isinstance(self.zone, Replacing) and (self.zone.block.stuck or self.zone.passes(token)):
            return not self.zone.block.stuck
        return self._after(token, sampled=True) is not None

    def mask_into(self, words: Int32Array) -> bool:
        """Write the allowed tokens (a superset in a replacement); always restrictive, as no special token is allowed."""
        mask = self.zone.mask()
        words[: len(mask)] = mask
        words[len(mask) :] = 0
        return True

    def advance(self, token: int) -> EditConstraint:
        """The state after ``token``.

        Raises:
            ValueError: it is not allowed.
        """
        return self._advanced(token, self._after(token, sampled=True))

    def draft(self, limit: int) -> Draft:
        """The forced rest of a literal, the file's own text, or the quoted text again; each token checked in its place."""
        tokens: list[int] = []
        forced, certain = 0, True
        state = self
        while len(tokens) < limit:
            if tokens and state._undecided():
                break
            guess = state.zone.guess(limit - len(tokens))
            for index, token in enumerate(guess.tokens):
                zone = state._after(token, sampled=False) if state._worth_asking(self, token) else None
                if zone is None:
                    return Draft(tokens, forced)
                state = state._advanced(token, zone)
                tokens.append(token)
                certain = certain and index < guess.forced
                forced += certain
            if not guess.tokens:
                break
        return Draft(tokens, forced)

    def may_end(self) -> bool:
        """Exactly between blocks."""
        return isinstance(self.zone, Header) and self.zone.depth == 0

    def retreat(self) -> Retreat | None:
        """Back to the last line end in this replacement at which the block may end, else to before the block.

        Dropped, a block's lines begin no other block. None between blocks, where the output may simply end.
        """
        if self.may_end():
            return None
        zone = self.zone
        if isinstance(zone, Replacing):
            line = zone.block.witness(zone.lines)
            if line is not None and line.count is not None:
                return Retreat(line.count, self._resumed_at(zone, line))
        target, starts = _given_up(zone)
        ledger = zone.ledger.went_back(target, starts)
        return Retreat(zone.begin, EditConstraint(self.plan, Header.between(ledger, zone.begin), zone.begin))

    def settled(self) -> int:
        """The tokens up to the end of the last complete block."""
        return self.zone.begin

    def _resumed_at(self, zone: Replacing, line: Line) -> EditConstraint:
        """Only the terminator may follow ``line``, which ended with a token."""
        assert line.count is not None
        block = zone.block.resumed(zone.ledger.went_back())
        return EditConstraint(self.plan, Closing(block, joined(line), 0), line.count)

    def _after(self, token: int, sampled: bool) -> Zone | None:
        if self._next is not None and self._next[0] == token:
            return self._next[1]
        spelling = self.plan.vocabulary.spelling(token)
        if not spelling:
            return None
        zone = self.zone.feed(spelling, Step(self.count + 1, sampled))
        if zone is not None:
            self._next = token, zone
        return zone

    def _advanced(self, token: int, zone: Zone | None) -> EditConstraint:
        if zone is None:
            raise ValueError(f"token {token} is not allowed here")
        count = self.count + 1
        if isinstance(zone, Closed):
            zone = Header.between(zone.ledger, count)
        elif isinstance(zone, Replacing):
            zone = zone.followed(token) if isinstance(self.zone, Replacing) else zone.found()
        return EditConstraint(self.plan, zone, count)

    def _undecided(self) -> bool:
        """Whether what comes next is for the model to say: another block or none, more quoted lines or no more."""
        return isinstance(self.zone, Header) or (isinstance(self.zone, Quoting) and self.zone.may_close)

    def _worth_asking(self, drafting: EditConstraint, token: int) -> bool:
        """Whether a draft may try ``token``: not if it would ask a dear gate before the model has come that far."""
        zone = self.zone
        if self is drafting or not isinstance(zone, Replacing) or zone.gate_is_cheap:
            return True
        spelling = self.plan.vocabulary.spelling(token) or b""
        return b"\n" + self.plan.closing_run[:1] not in b"\n" + zone.partial + spelling


def _given_up(zone: Zone) -> tuple[int | None, frozenset[int]]:
    """The target, and the starts in it, that a dropped block gives up."""
    if isinstance(zone, Quoting):
        return zone.target, zone.banned_starts()
    if isinstance(zone, Replacing | Closing):
        quote = zone.block.quote
        starts = zone.ledger.plan.targets[zone.block.target].prepared.starts_within(*quote)
        return zone.block.target, frozenset((quote.start, *starts))
    return None, frozenset()
