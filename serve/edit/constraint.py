"""The constraint that holds an output to edits that fit: zones driven token by token, in whatever format.

Counts output tokens, so that it can say what to keep. Knows nothing of models, sampling or the step loop's order.
"""

from __future__ import annotations

from collections.abc import Sequence

from dovetail.serve.constrain.base import Draft, Int32Array, Pending, Retreat
from dovetail.serve.constrain.syntax.gates import Answer
from dovetail.serve.edit.ledger import Ledger
from dovetail.serve.edit.plan import Plan
from dovetail.serve.edit.zones.zone import Step, Zone
from dovetail.serve.types import Finding


class EditConstraint:
    """One state after ``count`` output tokens (see dovetail.serve.constrain.base.Constraint for the contract).

    Immutable, except that an edit whose end the gate has refused ``Plan.refusal_limit`` times allows nothing from then on
    in any of its states: ``mask_into`` writes an empty mask, and the step loop retreats.
    """

    __slots__ = ("_choice", "_next", "count", "plan", "zone")

    def __init__(
        self, plan: Plan, zone: Zone, count: int, choice: tuple[int | None, int | None] = (None, None)
    ) -> None:
        self._choice = choice
        self.plan = plan
        self.zone = zone
        self.count = count
        self._next: dict[int, tuple[EditConstraint, list[Answer]]] = {}

    @classmethod
    def initial(cls, plan: Plan) -> EditConstraint:
        """Before the first token."""
        return cls(plan, plan.between(Ledger(plan), 0), 0)

    def allows(self, token: int) -> bool:
        """Exact: whether ``token`` may come next. An end that the gate refuses counts as one of its refusals.

        Raises:
            Pending: the gate has not answered, or not read the files, yet.
        """
        if not self.count and (unread := self.plan.unread) is not None:
            raise Pending(unread)
        if self.zone.stuck:
            return False
        if (known := self._next.get(token)) is not None:
            late = next((answer for answer in known[1] if not answer.ready), None)
            if late is not None:
                raise Pending(late)
            if all(answer.holds for answer in known[1]):
                return True
            del self._next[token]  # A draft hoped in vain.
        return self.zone.passes(token) or self._after(token, sampled=True) is not None

    def mask_into(self, words: Int32Array) -> bool:
        """Write the allowed tokens (a superset in free text); always restrictive, as no special token is allowed."""
        mask = self.zone.mask()
        words[: len(mask)] = mask
        words[len(mask) :] = 0
        return True

    def advance(self, token: int) -> EditConstraint:
        """The state after ``token``.

        Raises:
            ValueError: it is not allowed.
        """
        after = self._after(token, sampled=True)
        if after is None:
            raise ValueError(f"token {token} is not allowed here")
        return after

    def draft(self, limit: int) -> Draft:
        """The forced rest of a literal, the file's own text, or the quoted text again; each token checked in its place."""
        tokens: list[int] = []
        forced, certain, evidence = 0, True, Draft(()).evidence
        if not self.count and self.plan.unread is not None:
            return Draft(())
        state = self
        while len(tokens) < limit and not state.zone.stuck:
            guess = state.zone.guess(limit - len(tokens))
            evidence = guess.evidence if certain else evidence
            for index, token in enumerate(guess.tokens):
                following = state._tried(token, first=state is self)
                if following is None:
                    return Draft(tokens, forced, evidence=evidence)
                state = following
                tokens.append(token)
                certain = certain and index < guess.forced
                forced += certain
            if not guess.tokens:
                break
        return Draft(tokens, forced, evidence=evidence)

    def admits(self, tokens: Sequence[int]) -> int:
        """How many of ``tokens`` are allowed one after another; no dear gate is asked."""
        state = self
        for index, token in enumerate(tokens):
            following = state._tried(token, first=False)
            if following is None:
                return index
            state = following
        return len(tokens)

    def may_end(self) -> bool:
        """Where the output is complete: between edits, or behind the end marker of a format that has one."""
        return self.zone.complete

    def retreat(self) -> Retreat | None:
        """Back to the last line end in this edit at which it may end, else to before the edit.

        Dropped, an edit's lines begin no other edit. None where the output may simply end.
        """
        if self.may_end():
            return None
        zone = self.zone
        witness = zone.witness()
        if witness is not None:
            return Retreat(witness[0], EditConstraint(self.plan, witness[1], witness[0]))
        ledger = zone.ledger.went_back(*zone.given_up())
        return Retreat(zone.begin, EditConstraint(self.plan, self.plan.between(ledger, zone.begin), zone.begin))

    def settled(self) -> int:
        """The tokens up to the end of the last edit that stands."""
        return self.count if self.may_end() else self.zone.begin

    def chosen(self) -> tuple[int, int] | None:
        """The tokens of the first line that the edit being written quotes, once it is complete."""
        begin, end = self._choice
        return (begin, end) if begin is not None and end is not None else None

    def reconsider(self) -> Retreat | None:
        """Back to before the edit, which then begins elsewhere, if that can be."""
        zone, line = self.zone, self.zone.first_line()
        target = zone.given_up()[0]
        if line is None or target is None:
            return None
        ledger = zone.ledger.doubted(target, line.starts)
        if ledger is None:
            return None
        return Retreat(zone.begin, EditConstraint(self.plan, self.plan.between(ledger, zone.begin), zone.begin))

    def _choice_behind(self, zone: Zone) -> tuple[int | None, int | None]:
        """Where the first quoted line begins and ends in the output, as far as is known in ``zone``, one token on."""
        begin, end = self._choice if zone.ledger is self.zone.ledger else (None, None)
        if end is not None:
            return begin, end
        line = zone.first_line()
        if line is None or not line.begun:
            return None, None
        return begin if begin is not None else self.count, self.count + 1 if line.done else None

    def overruled(self) -> int:
        """How often tree-sitter has overruled the recogniser at the gate."""
        return self.plan.overruled

    def unchecked(self) -> dict[str, str]:
        """See Reporting."""
        return self.plan.unchecked

    def vetoes(self) -> tuple[Finding, ...]:
        """What the request's policy has kept the model from."""
        return tuple(self.plan.vetoes.values())

    def _tried(self, token: int, *, first: bool) -> EditConstraint | None:
        """The state after a drafted token, if it is allowed and cheap to check."""
        spelling = self.plan.vocabulary.spelling(token) or b""
        if self.zone.stuck or not (first or self.zone.drafts(spelling)):
            return None
        try:
            return self._after(token, sampled=False)
        except Pending:
            return None

    def _after(self, token: int, sampled: bool) -> EditConstraint | None:
        """The state behind ``token``, None if it is not allowed; kept, since a draft is walked along more than once."""
        if (known := self._next.get(token)) is not None:
            return known[0]
        spelling = self.plan.vocabulary.spelling(token)
        if not spelling:
            return None
        count = self.count + 1
        hopes: list[Answer] = []
        self.plan.hopes = None if sampled else hopes
        zone = self.zone.feed(spelling, Step(count, sampled, None if sampled else hopes))
        if zone is None:
            return None
        zone = zone.followed(token, self.zone).landed(count)
        after = EditConstraint(self.plan, zone, count, self._choice_behind(zone))
        self._next[token] = after, hopes
        return after
