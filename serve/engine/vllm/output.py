"""The output of one request so far: tokens, text, what its constraint did; and the events that tell of it. Asks no model."""

from __future__ import annotations

from collections.abc import Sequence

from dovetail.serve.constrain.base import Constraint, Reporting, Retreat, Vetoing
from dovetail.serve.engine.request.guard import GuardedConstraint
from dovetail.serve.engine.request.text import OutputText
from dovetail.serve.engine.request.totals import Totals
from dovetail.serve.types import (
    ConstraintReport,
    Event,
    FinishEvent,
    FinishReason,
    Origin,
    Request,
    RollbackEvent,
    TokenLogprob,
    TokensEvent,
    Usage,
)


class Output:
    """Events wait in ``events`` until they are taken. ``cached``, ``passes``: as in types.Usage."""

    def __init__(self, request: Request, text: OutputText, totals: Totals) -> None:
        self.request = request
        self.tokens: list[int] = []
        self.events: list[Event] = []
        self.finished = False
        self.cached = 0
        self.passes = 0
        self._text = text
        self._totals = totals
        self._told = 0
        self._origins: list[Origin] = []
        self._logprobs: list[TokenLogprob] = []
        self._rollbacks = self._forced = self._resampled = 0

    @property
    def left(self) -> int:
        """Tokens that the budget still allows."""
        return self.request.sampling.max_tokens - len(self.tokens)

    def push(self, token: int, origin: Origin, logprob: TokenLogprob | None = None) -> str | None:
        """Append a token; returns the stop string that it completes."""
        self.tokens.append(token)
        self._origins.append(origin)
        if logprob is not None:
            self._logprobs.append(logprob)
        self._forced += origin == "forced"
        self._resampled += origin == "resampled"
        self._totals.generated_tokens += 1
        hit = self._text.push(token)
        return hit.stop if hit is not None else None

    def tell(self, *, final: bool = False) -> None:
        """Make an event of what is new."""
        text = self._text.take(final)
        tokens = self.tokens[self._told :]
        if tokens or text:
            wanted = self.request.sampling.logprobs is not None
            event = TokensEvent(
                request_id=self.request.request_id,
                tokens=tuple(tokens),
                text=text,
                origins=tuple(self._origins[self._told :]),
                logprobs=tuple(self._logprobs[self._told :]) if wanted else None,
            )
            self.events.append(event)
        self._told = len(self.tokens)

    def go_back(self, retreat: Retreat) -> None:
        """Keep the beginning that ``retreat`` says."""
        self._rollbacks += 1
        self._totals.rollbacks += 1
        self._rewind(retreat.keep)

    def _rewind(self, keep: int) -> None:
        if keep >= len(self.tokens):
            return
        del self.tokens[keep:], self._origins[keep:], self._logprobs[keep:]
        keep_chars = self._text.rewind(keep)
        if self._told > keep:
            self._told = keep
            told = RollbackEvent(request_id=self.request.request_id, keep_tokens=keep, keep_chars=keep_chars)
            self.events.append(told)

    def finish(self, reason: FinishReason, stop: str | int | None, constraint: Constraint | None) -> None:
        """The last event; of a constrained output whose budget ended, as much as is complete."""
        if not isinstance(stop, str) and constraint is None:
            self._text.flush()
        self.tell(final=True)
        report = None
        if constraint is not None:
            settled = constraint.settled() if reason == "length" else None
            truncated = settled is not None and settled < len(self.tokens)
            if settled is not None and truncated:
                self._rewind(settled)
            report = self._report(constraint, truncated=truncated)
        self._totals.cached_tokens += self.cached
        self._totals.prompt_tokens += len(self.request.prompt)
        self.finished = True
        self.events.append(
            FinishEvent(
                request_id=self.request.request_id, reason=reason, usage=self.usage(), stop=stop, constraint=report
            )
        )

    def usage(self) -> Usage:
        """The request's token counts as of now."""
        return Usage(
            prompt_tokens=len(self.request.prompt),
            completion_tokens=len(self.tokens),
            cached_tokens=self.cached,
            forward_passes=self.passes,
        )

    def take(self) -> Sequence[Event]:
        """The events since the last time."""
        events, self.events = self.events, []
        return events

    def _report(self, constraint: Constraint, *, truncated: bool) -> ConstraintReport:
        """How much of the distribution the constraint left is not known here: vLLM tells of no more than its likeliest tokens."""
        reporting = constraint if isinstance(constraint, Reporting) else None
        overruled = reporting.overruled() if reporting is not None else 0
        self._totals.overruled += overruled
        return ConstraintReport(
            min_z=None,
            sum_log_z=None,
            distorted=None,
            rollbacks=self._rollbacks,
            forced=self._forced,
            resampled=self._resampled,
            truncated=truncated,
            overruled=overruled,
            vetoes=constraint.vetoes() if isinstance(constraint, Vetoing) else (),
            unchecked=reporting.unchecked() if reporting is not None else {},
        )


def failed(constraint: Constraint | None) -> Exception | None:
    """What went wrong in a guarded constraint, as a client is told of it."""
    return constraint.fault.told if isinstance(constraint, GuardedConstraint) else None
