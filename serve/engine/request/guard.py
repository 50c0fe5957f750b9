"""Keeps a fault in one request's constraint from ending everybody's: the request fails, the engine goes on.

Wraps any constraint. After its first exception the constraint allows nothing, and the step loop finds the fault when it asks
for a retreat. The one place of the engine that catches everything, since a constraint runs on whatever a client sent.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Never, TypeVar

import structlog

from dovetail.serve.constrain.base import Choosing, Constraint, Draft, Int32Array, Pending, Reporting, Retreat, Vetoing
from dovetail.serve.errors import DovetailError, EngineError
from dovetail.serve.types import Finding

_log = structlog.get_logger("dovetail.engine")
_Result = TypeVar("_Result")
_WAITS, _WAIT_S = 600, 0.05
"""How often, and for how long each time, an answer is waited for where it may not be late."""


def constraint_failed() -> EngineError:
    """What a client is told of a fault in a constraint that is not its own."""
    message = "the constraint of this request failed; the server's log says how. Other requests are not affected"
    return EngineError(message, status=500, code="constraint_failed")


class Meter:
    """Seconds that constraints have taken, of all requests. ``note``: told whose constraint is at work, since it runs native
    code on whatever a client sent."""

    def __init__(self, note: Callable[[str], None] = lambda text: None) -> None:
        self.seconds = 0.0
        self._note = note
        self._owner = ""

    def works(self, owner: str) -> None:
        """The constraint of ``owner`` is at work; empty: none is."""
        if owner is not self._owner:
            self._owner = owner
            self._note(owner)


class Fault:
    """What went wrong in the constraint of ``owner``, if anything; shared by all its states."""

    def __init__(self, owner: str = "") -> None:
        self.owner = owner
        self.error: Exception | None = None

    @property
    def told(self) -> DovetailError | None:
        """What the client is told of it."""
        if self.error is None or isinstance(self.error, DovetailError):
            return self.error
        return constraint_failed()

    def guarded(self, call: Callable[[], _Result], otherwise: _Result) -> _Result:
        """``call()``, or ``otherwise`` once anything has gone wrong. That an answer takes a while is no fault."""
        if self.error is not None:
            return otherwise
        try:
            return call()
        except Pending:
            raise
        except Exception as error:  # noqa: BLE001 (see the module's docstring)
            if not isinstance(error, DovetailError):  # that one is the client's to hear
                _log.error("a constraint failed; its request ends", request=self.owner, exc_info=error)
            self.error = error
            return otherwise


class GuardedConstraint:
    """A constraint that never raises (see serve/constrain/base.py for the methods)."""

    __slots__ = ("_inner", "_meter", "fault")

    def __init__(self, inner: Constraint, fault: Fault, meter: Meter) -> None:
        self._inner = inner
        self._meter = meter
        self.fault = fault

    def _asked(self, call: Callable[[], _Result], otherwise: _Result) -> _Result:
        """``call()``, which may say that its answer takes a while."""
        self._meter.works(self.fault.owner)
        began = time.perf_counter()
        try:
            return self.fault.guarded(call, otherwise)
        finally:
            self._meter.seconds += time.perf_counter() - began

    def _guarded(self, call: Callable[[], _Result], otherwise: _Result) -> _Result:
        """``call()``, which may not; should it, the answer is waited for, since the step loop has nowhere to put it off to."""
        for _ in range(_WAITS):
            try:
                return self._asked(call, otherwise)
            except Pending as pending:
                pending.answer.wait(_WAIT_S)
        return self._asked(self._late, otherwise)

    @staticmethod
    def _late() -> Never:
        raise TimeoutError("what the constraint waits for does not come")

    def allows(self, token: int) -> bool:
        """False once it has failed."""
        return self._asked(lambda: self._inner.allows(token), False)

    def mask_into(self, words: Int32Array) -> bool:
        """Nothing is allowed once it has failed."""
        restricts = self._guarded(lambda: self._inner.mask_into(words), True)
        if self.fault.error is not None:
            words.fill(0)
        return restricts

    def advance(self, token: int) -> Constraint:
        """The same state once it has failed."""
        return GuardedConstraint(
            self._guarded(lambda: self._inner.advance(token), self._inner), self.fault, self._meter
        )

    def draft(self, limit: int) -> Draft:
        """Nothing once it has failed."""
        return self._guarded(lambda: self._inner.draft(limit), Draft(()))

    def admits(self, tokens: Sequence[int]) -> int:
        """0 once it has failed."""
        return self._guarded(lambda: self._inner.admits(tokens), 0)

    def may_end(self) -> bool:
        """False once it has failed."""
        return self._guarded(lambda: self._inner.may_end(), False)

    def retreat(self) -> Retreat | None:
        """None once it has failed. Raises Pending, as ``allows`` does."""
        retreat = self._asked(lambda: self._inner.retreat(), None)
        return self._wrapped(retreat)

    def settled(self) -> int | None:
        """None once it has failed."""
        return self._guarded(lambda: self._inner.settled(), None)

    def chosen(self) -> tuple[int, int] | None:
        """See Choosing."""
        inner = self._inner
        return self._guarded(lambda: inner.chosen(), None) if isinstance(inner, Choosing) else None

    def reconsider(self) -> Retreat | None:
        """See Choosing."""
        inner = self._inner
        return self._wrapped(self._guarded(lambda: inner.reconsider(), None) if isinstance(inner, Choosing) else None)

    def _wrapped(self, retreat: Retreat | None) -> Retreat | None:
        if retreat is None:
            return None
        return retreat._replace(state=GuardedConstraint(retreat.state, self.fault, self._meter))

    def overruled(self) -> int:
        """See Reporting."""
        inner = self._inner
        return self._guarded(lambda: inner.overruled(), 0) if isinstance(inner, Reporting) else 0

    def unchecked(self) -> dict[str, str]:
        """See Reporting."""
        inner = self._inner
        return self._guarded(lambda: inner.unchecked(), {}) if isinstance(inner, Reporting) else {}

    def vetoes(self) -> tuple[Finding, ...]:
        """See Vetoing."""
        inner = self._inner
        return self._guarded(lambda: inner.vetoes(), ()) if isinstance(inner, Vetoing) else ()
