"""How much a run may use: model calls and commands, tokens, wall time. Knows no model and no command."""

from __future__ import annotations

import time
from dataclasses import dataclass

from dovetail.agent.problems import Problem


class LimitReached(Problem):
    """A run used up what it was given."""


@dataclass(frozen=True)
class RunLimits:
    """The most that one run may use."""

    steps: int = 200
    """Model calls and commands together."""
    tokens: int = 2_000_000
    """Of prompts and answers together, as the server counts them."""
    seconds: float = 3600.0

    def __post_init__(self) -> None:
        for name in ("steps", "tokens", "seconds"):
            if getattr(self, name) <= 0:
                raise Problem(f"The limit on {name} must be above 0.")


class Budget:
    """What is left of the limits."""

    def __init__(self, limits: RunLimits) -> None:
        self._limits = limits
        self._start = time.monotonic()
        self.steps = 0
        self.tokens = 0

    @property
    def seconds(self) -> float:
        """How long the run has gone on."""
        return time.monotonic() - self._start

    @property
    def seconds_left(self) -> float:
        """How long it may go on."""
        return self._limits.seconds - self.seconds

    def step(self) -> None:
        """Count one call or command that is about to be made.

        Raises:
            LimitReached: there is nothing left for it.
        """
        if self.steps >= self._limits.steps:
            raise LimitReached(f"The limit of {self._limits.steps} steps is reached (--max-steps).")
        if self.tokens >= self._limits.tokens:
            raise LimitReached(f"The limit of {self._limits.tokens} tokens is reached (--max-tokens).")
        if self.seconds_left <= 0:
            raise LimitReached(f"The limit of {self._limits.seconds:.0f} seconds is reached (--max-seconds).")
        self.steps += 1
