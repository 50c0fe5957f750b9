"""What the zones of an answer have in common. A zone is an immutable state of the byte machine that an answer drives."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from dovetail.serve.constrain.base import Draft, Int32Array
from dovetail.serve.edit.ledger import Ledger

NOTHING = Draft(())


class Step(NamedTuple):
    """One token on its way through the zones.

    ``tokens``: output tokens up to and with this one. ``sampled``: the model asked for it (a refusal is then counted);
    not so when a draft is tried out.
    """

    tokens: int
    sampled: bool


class Zone(Protocol):
    """A place in the answer format. ``begin`` is the number of output tokens before the block, ``ledger`` what they did."""

    @property
    def begin(self) -> int: ...

    @property
    def ledger(self) -> Ledger: ...

    def feed(self, data: bytes, step: Step) -> Zone | None:
        """The zone after ``data``; None if no answer goes on like that."""
        ...

    def mask(self) -> Int32Array:
        """A bit mask that holds at least every token that ``feed`` accepts; shared, not to be written into."""
        ...

    def guess(self, limit: int) -> Draft:
        """Tokens likely to come next, not yet checked."""
        ...
