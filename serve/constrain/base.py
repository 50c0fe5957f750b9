"""The Constraint seam: which tokens may come next. Immutable states, so a rollback or a branch costs nothing.

End-of-sequence tokens never pass through a constraint: the step loop allows them exactly when ``may_end`` holds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from dovetail.serve.types import ConstraintSpec

Int32Array = npt.NDArray[np.int32]


class Draft(NamedTuple):
    """Tokens likely to come next; the first ``forced`` of them spell text that has no alternative.

    Forced *text* is not a forced *tokenisation*: both kinds are verified by the model, never injected. ``predicted``: they
    come from the output that the client predicted.
    """

    tokens: Sequence[int]
    forced: int = 0
    predicted: bool = False


class Retreat(NamedTuple):
    """Go back: keep the first ``keep`` output tokens and continue from ``state``."""

    keep: int
    state: Constraint


class Constraint(Protocol):
    """One immutable state of a constraint over an output token sequence."""

    def allows(self, token: int) -> bool:
        """Exact: whether ``token`` may come next."""
        ...

    def mask_into(self, words: Int32Array) -> bool:
        """Write a bit mask over the vocabulary (bit ``t % 32`` of ``words[t // 32]``): a superset of what ``allows`` accepts.

        Returns False, with ``words`` untouched, when the mask would exclude nothing.
        """
        ...

    def advance(self, token: int) -> Constraint:
        """The state after ``token``, which must be allowed."""
        ...

    def draft(self, limit: int) -> Draft:
        """At most ``limit`` tokens likely to come next (every one of them allowed in its place); may be empty."""
        ...

    def may_end(self) -> bool:
        """Whether the output is complete here."""
        ...

    def retreat(self) -> Retreat | None:
        """Where to go back to when no token is allowed, or too many draws were refused; None: nowhere."""
        ...

    def settled(self) -> int | None:
        """How many tokens from the start form a complete output, should the budget end here; None: any number does."""
        ...


CompileConstraint = Callable[[ConstraintSpec], Constraint | Future[Constraint]]
"""Given to the engine by the wiring, so that the engine knows no grammar library and no edit format. A future: what takes
its time is compiled elsewhere, and the request waits for it."""
