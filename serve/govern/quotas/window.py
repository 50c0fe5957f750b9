"""How much was taken in the last minute or day. Knows nothing of who takes what."""

from __future__ import annotations

from collections import deque
from math import ceil

TICKS = 60
"""A span is counted in so many parts: what was taken counts until its whole part has left the span, never shorter."""

MINUTE = 60.0
DAY = 86_400.0


class Window:
    """Amounts taken in a span of time that ends now.

    Times are seconds of a clock that never goes back. What is taken at ``t`` counts until ``t + span`` at least, and at most
    a sixtieth of the span longer: over no span is more taken than the limit that was asked for.
    """

    def __init__(self, span: float) -> None:
        self._tick = span / TICKS
        self._parts: deque[list[int]] = deque()
        self._total = 0

    def used(self, now: float) -> int:
        """How much counts now."""
        first = int(now // self._tick) - TICKS
        while self._parts and self._parts[0][0] < first:
            self._total -= self._parts.popleft()[1]
        return self._total

    def take(self, now: float, amount: int) -> int:
        """Count ``amount`` from now on; returns the part it is counted in, for :meth:`give_back`."""
        part = int(now // self._tick)
        if not self._parts or self._parts[-1][0] < part:
            self._parts.append([part, 0])
        self._parts[-1][1] += amount
        self._total += amount
        return self._parts[-1][0]

    def give_back(self, part: int, amount: int) -> None:
        """Count ``amount`` of what was taken in ``part`` no more, if it still counts."""
        for each in reversed(self._parts):
            if each[0] == part:
                returned = min(amount, each[1])
                each[1] -= returned
                self._total -= returned
                return

    def wait(self, now: float, limit: int, amount: int) -> float:
        """Seconds until ``amount`` fits under ``limit``, if nothing else is taken; infinite where it never does."""
        if amount > limit:
            return float("inf")
        excess = self.used(now) + amount - limit
        if excess <= 0:
            return 0.0
        for part, taken in self._parts:
            excess -= taken
            if excess <= 0:
                return max(0.0, (part + TICKS + 1) * self._tick - now)
        raise AssertionError("the parts add up to the total")

    def empty_in(self, now: float) -> float:
        """Seconds until nothing counts any more, if nothing else is taken."""
        if self.used(now) == 0:
            return 0.0
        return max(0.0, (self._parts[-1][0] + TICKS + 1) * self._tick - now)


def whole_seconds(seconds: float) -> int:
    """What a Retry-After header says: never too early."""
    return max(1, ceil(seconds))
