"""Keeps a fault in one request's constraint from ending everybody's: the request fails, the engine goes on.

Wraps any constraint. After its first exception the constraint allows nothing, and the step loop finds the fault when it asks
for a retreat. The one place of the engine that catches everything, since a constraint runs on whatever a client sent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import structlog

from dovetail.serve.constrain.base import Constraint, Draft, Int32Array, Retreat
from dovetail.serve.errors import DovetailError

_log = structlog.get_logger("dovetail.engine")
_Result = TypeVar("_Result")


class Fault:
    """What went wrong in one request's constraint, if anything; shared by all its states."""

    def __init__(self) -> None:
        self.error: Exception | None = None

    def guarded(self, call: Callable[[], _Result], otherwise: _Result) -> _Result:
        """``call()``, or ``otherwise`` once anything has gone wrong."""
        if self.error is not None:
            return otherwise
        try:
            return call()
        except Exception as error:  # noqa: BLE001 (see the module's docstring)
            if not isinstance(error, DovetailError):  # that one is the client's to hear
                _log.error("a constraint failed; its request ends", exc_info=error)
            self.error = error
            return otherwise


class GuardedConstraint:
    """A constraint that never raises (see serve/constrain/base.py for the methods)."""

    __slots__ = ("_inner", "fault")

    def __init__(self, inner: Constraint, fault: Fault) -> None:
        self._inner = inner
        self.fault = fault

    def allows(self, token: int) -> bool:
        """False once it has failed."""
        return self.fault.guarded(lambda: self._inner.allows(token), False)

    def mask_into(self, words: Int32Array) -> bool:
        """Nothing is allowed once it has failed."""
        restricts = self.fault.guarded(lambda: self._inner.mask_into(words), True)
        if self.fault.error is not None:
            words.fill(0)
        return restricts

    def advance(self, token: int) -> Constraint:
        """The same state once it has failed."""
        return GuardedConstraint(self.fault.guarded(lambda: self._inner.advance(token), self._inner), self.fault)

    def draft(self, limit: int) -> Draft:
        """Nothing once it has failed."""
        return self.fault.guarded(lambda: self._inner.draft(limit), Draft(()))

    def may_end(self) -> bool:
        """False once it has failed."""
        return self.fault.guarded(lambda: self._inner.may_end(), False)

    def retreat(self) -> Retreat | None:
        """None once it has failed."""
        retreat = self.fault.guarded(lambda: self._inner.retreat(), None)
        return retreat._replace(state=GuardedConstraint(retreat.state, self.fault)) if retreat else None

    def settled(self) -> int | None:
        """None once it has failed."""
        return self.fault.guarded(lambda: self._inner.settled(), None)
