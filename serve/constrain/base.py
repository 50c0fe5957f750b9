"""The Constraint seam: which tokens may come next. Immutable states, so a rollback or a branch costs nothing.

End-of-sequence tokens never pass through a constraint: the step loop allows them exactly when ``may_end`` holds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from dovetail.serve.types import ConstraintSpec, Finding

Int32Array = npt.NDArray[np.int32]


class Branch(NamedTuple):
    """Tokens that may come instead of a draft's, one after another, behind its token ``behind`` (-1: at once).

    The tokens of earlier branches are counted on from the draft's, so that a branch may grow from another.
    """

    behind: int
    tokens: Sequence[int]


class Draft(NamedTuple):
    """Tokens likely to come next; the first ``forced`` of them spell text that has no alternative.

    Forced *text* is not a forced *tokenisation*: both kinds are verified by the model, never injected. ``predicted``: they
    come from the output that the client predicted. ``evidence``: how many tokens in a row agreed with what is continued
    here; a guess from one token is worth a short draft only. ``branches``: what may come instead, and ``hoped``: how many of their
    tokens are likely to be confirmed; neither is a constraint's business.
    """

    tokens: Sequence[int]
    forced: int = 0
    predicted: bool = False
    evidence: int = 16
    branches: Sequence[Branch] = ()
    hoped: float = 0.0


class Retreat(NamedTuple):
    """Go back: keep the first ``keep`` output tokens and continue from ``state``."""

    keep: int
    state: Constraint


class Waitable(Protocol):
    """An answer that is still being found."""

    @property
    def ready(self) -> bool:
        """Whether it is there."""
        ...

    def wait(self, seconds: float) -> bool:
        """Wait for it a while; whether it is there."""
        ...


class Pending(Exception):
    """Raised by ``allows`` and ``retreat``: the answer takes a while; ask again once it is there."""

    def __init__(self, answer: Waitable) -> None:
        super().__init__("still being found")
        self.answer = answer


class Constraint(Protocol):
    """One immutable state of a constraint over an output token sequence."""

    def allows(self, token: int) -> bool:
        """Exact: whether ``token`` may come next.

        Raises:
            Pending: nobody can say yet.
        """
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
        """At most ``limit`` tokens likely to come next; may be empty.

        Every one of them is allowed in its place, unless ``allows`` finds otherwise once it is asked there.
        """
        ...

    def admits(self, tokens: Sequence[int]) -> int:
        """How many of ``tokens``, somebody else's draft, are allowed one after another; asks nothing dear to find out."""
        ...

    def may_end(self) -> bool:
        """Whether the output is complete here."""
        ...

    def retreat(self) -> Retreat | None:
        """Where to go back to when no token is allowed, or too many draws were refused; None: nowhere.

        Raises:
            Pending: nobody can say yet.
        """
        ...

    def settled(self) -> int | None:
        """How many tokens from the start form a complete output, should the budget end here; None: any number does."""
        ...


@runtime_checkable
class Choosing(Protocol):
    """A constraint under which the model chooses places of a text, perhaps against its will."""

    def chosen(self) -> tuple[int, int] | None:
        """The output tokens, first and last + 1, that chose the place of what is being written; None: none is chosen."""
        ...

    def reconsider(self) -> Retreat | None:
        """Back to before that choice, for another place; None: this one has to do."""
        ...


@runtime_checkable
class Reporting(Protocol):
    """A constraint with something to report at the end of its request."""

    def overruled(self) -> int:
        """How often so far a slow judge has overruled the quick one: each time is worth a look."""
        ...

    def unchecked(self) -> dict[str, str]:
        """The files whose syntax nobody can judge since they are too much for their parsers, and why, by path."""
        ...


@runtime_checkable
class Vetoing(Protocol):
    """A constraint that says what a policy has kept the model from."""

    def vetoes(self) -> tuple[Finding, ...]:
        """The first of each rule in each file, over the whole output, what was taken back included."""
        ...


CompileConstraint = Callable[[ConstraintSpec], Constraint | Future[Constraint]]
"""Given to the engine by the wiring, so that the engine knows no grammar library and no edit format. A future: what takes
its time is compiled elsewhere, and the request waits for it."""
