"""What a step's draw does to its sequence: tokens appended, the end found, the ways back, as events.

Knows one sequence at a time, and no model. The request's last event says that it is over; to forget it is the loop's business.
"""

from __future__ import annotations

from dovetail.serve.constrain.base import Choosing, Pending, Reporting, Retreat, Vetoing, Waitable
from dovetail.serve.engine.native.draw import Drawn
from dovetail.serve.engine.native.scheduler import Scheduler
from dovetail.serve.engine.native.sequence import Sequence, Work
from dovetail.serve.engine.request.admission import error_event
from dovetail.serve.engine.request.guard import GuardedConstraint
from dovetail.serve.engine.request.totals import Totals
from dovetail.serve.types import (
    ConstraintReport,
    Event,
    FinishEvent,
    FinishReason,
    Origin,
    RollbackEvent,
    TokensEvent,
)


def pooled_event(sequence: Sequence) -> FinishEvent:
    """The only event of a request that asks for the vector of its prompt."""
    assert sequence.pool is not None
    vector = sequence.pool.vector.numpy().astype("<f4").tobytes()
    request_id = sequence.request.request_id
    return FinishEvent(request_id=request_id, reason="stop", usage=sequence.usage(), vector=vector)


class Absorb:
    """Takes what was drawn into the sequence; returns what is to be said of it."""

    def __init__(self, scheduler: Scheduler, eos_ids: frozenset[int], totals: Totals) -> None:
        self._scheduler = scheduler
        self._eos_ids = eos_ids
        self._totals = totals

    def __call__(self, share: Work, drawn: Drawn) -> list[Event]:
        """Append what was drawn, find out whether that ends the request, and say so."""
        sequence = share.sequence
        self._count(share, drawn)
        sequence.computed += drawn.accepted
        constrained = sequence.constraint is not None
        tokens: list[int] = []
        ended: tuple[FinishReason, str | int | None] | None = None
        for index, token in enumerate(drawn.tokens):
            if self._ends(sequence, token):
                ended = ("stop", token)
                break
            tokens.append(token)
            sequence.tokens.append(token)
            if constrained:
                sequence.distortion.step(drawn.log_zs[index])
                sequence.distortion.forced += drawn.origins[index] == "forced"
                sequence.distortion.resampled += drawn.origins[index] == "resampled"
            if (hit := sequence.text.push(token)) is not None:
                ended = ("stop", hit.stop)
                break
            if sequence.left == 0:
                ended = ("length", None)
                break
        self._totals.generated_tokens += len(tokens)
        sequence.computed = min(sequence.computed, len(sequence.tokens) - 1)
        self._scheduler.computed(sequence)
        if drawn.state is not None and ended is None:
            sequence.follow(drawn.state)
        if sequence.drafter is not None and tokens:
            sequence.drafter.observe(tokens)
        if ended is not None:
            return self._finish(sequence, tokens, drawn, *ended)
        events = self._emit(sequence, tokens, drawn)
        if drawn.awaits is not None:
            self._sit_out(sequence, drawn.awaits)
        retreat = self._reconsidered(sequence)
        if retreat is not None:
            events += self._go_back(sequence, retreat)
        elif drawn.stuck:
            events += self._retreat(sequence)
        return events

    def _count(self, share: Work, drawn: Drawn) -> None:
        """What became of the draft."""
        sequence = share.sequence
        sequence.drafted += len(share.draft)
        sequence.accepted += drawn.accepted
        if share.predicted:
            sequence.predicted += share.main
            sequence.predicted_accepted += drawn.followed
        guesses = max(0, share.main - share.forced)
        sequence.acceptance.observe(guesses, max(0, drawn.followed - share.forced), share.evidence)
        if share.forks:
            sequence.trust.observe(share.hoped, drawn.accepted - drawn.followed)
        self._totals.drafted_tokens += len(share.draft)
        self._totals.accepted_tokens += drawn.accepted

    def _ends(self, sequence: Sequence, token: int) -> bool:
        params = sequence.request.sampling
        if params.ignore_eos and sequence.constraint is None:
            return False
        if sequence.constraint is None and token in params.stop_token_ids:
            return True
        return token in self._eos_ids

    def _emit(self, sequence: Sequence, tokens: list[int], drawn: Drawn, *, final: bool = False) -> list[Event]:
        text = sequence.text.take(final)
        if not tokens and not text:
            return []
        origins: tuple[Origin, ...] = tuple(drawn.origins[: len(tokens)])
        logprobs = tuple(drawn.logprobs[: len(tokens)]) if drawn.logprobs else None
        event = TokensEvent(
            request_id=sequence.request.request_id, tokens=tuple(tokens), text=text, origins=origins, logprobs=logprobs
        )
        return [event]

    def _sit_out(self, sequence: Sequence, answer: Waitable) -> None:
        """Leave the sequence out of steps until ``answer`` is there; then the same token is drawn, and checked again."""
        sequence.awaits = answer
        self._totals.sat_out += 1

    def _reconsidered(self, sequence: Sequence) -> Retreat | None:
        """Where to go back to if the model hardly wanted what it has just had to choose; None: nowhere."""
        constraint, distortion = sequence.constraint, sequence.distortion
        chosen = constraint.chosen() if isinstance(constraint, Choosing) else None
        if chosen is None or not isinstance(constraint, Choosing) or not distortion.reluctant(chosen):
            return None
        retreat = constraint.reconsider()
        distortion.distorted |= retreat is None
        return retreat

    def _retreat(self, sequence: Sequence) -> list[Event]:
        """No token can come next: go back to the constraint's witness and on from there."""
        assert sequence.constraint is not None
        try:
            retreat = sequence.constraint.retreat()
        except Pending as pending:
            self._sit_out(sequence, pending.answer)
            return []
        if failed := self._failed(sequence):
            return failed
        if retreat is None:
            complete = sequence.constraint.may_end()  # a model without an end token of its own
            return self._finish(sequence, [], Drawn(), "stop" if complete else "length", None)
        return self._go_back(sequence, retreat)

    def _failed(self, sequence: Sequence) -> list[Event]:
        """The end of a request whose constraint has failed; nothing of any other."""
        constraint = sequence.constraint
        error = constraint.fault.told if isinstance(constraint, GuardedConstraint) else None
        return [error_event(sequence.request.request_id, error)] if error is not None else []

    def _go_back(self, sequence: Sequence, retreat: Retreat) -> list[Event]:
        """On from another state. Nothing is said where all tokens stay."""
        dropped = retreat.keep < sequence.generated
        sequence.distortion.rollbacks += 1
        self._totals.rollbacks += 1
        sequence.awaits = None
        keep_chars = sequence.rewind(retreat.keep)
        self._scheduler.rewound(sequence)
        sequence.follow(retreat.state)
        request_id = sequence.request.request_id
        return (
            [RollbackEvent(request_id=request_id, keep_tokens=retreat.keep, keep_chars=keep_chars)] if dropped else []
        )

    def _finish(
        self, sequence: Sequence, tokens: list[int], drawn: Drawn, reason: FinishReason, stop: str | int | None
    ) -> list[Event]:
        request_id = sequence.request.request_id
        if not isinstance(stop, str) and sequence.constraint is None:
            sequence.text.flush()
        events = self._emit(sequence, tokens, drawn, final=True)
        report: ConstraintReport | None = None
        if sequence.constraint is not None:
            state = drawn.state if drawn.state is not None else sequence.constraint
            settled = state.settled() if reason == "length" else None
            truncated = settled is not None and settled < sequence.generated
            if settled is not None and truncated:
                keep_chars = sequence.rewind(settled)
                events.append(RollbackEvent(request_id=request_id, keep_tokens=settled, keep_chars=keep_chars))
            reporting = sequence.constraint if isinstance(sequence.constraint, Reporting) else None
            overruled = reporting.overruled() if reporting is not None else 0
            unchecked = reporting.unchecked() if reporting is not None else {}
            self._totals.overruled += overruled
            vetoes = sequence.constraint.vetoes() if isinstance(sequence.constraint, Vetoing) else ()
            report = sequence.distortion.report(
                truncated=truncated, overruled=overruled, vetoes=vetoes, unchecked=unchecked
            )
            if failed := self._failed(sequence):
                return events + failed
        self._totals.cached_tokens += sequence.cached or 0
        usage = sequence.usage()
        events.append(FinishEvent(request_id=request_id, reason=reason, usage=usage, stop=stop, constraint=report))
        return events
