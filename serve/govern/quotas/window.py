"""How much was taken in the last minute or day. Knows nothing of who takes what."""

from __future__ import annotations

from collections import deque
from math import ceil

TICKS = 60
"""A span is counted in so many parts: what was taken counts until its whole part has left the span, never shorter."""

MINUTE = 60.0
DAY = 86_400.0


OWN = ""
"""Whose counts are this process's own; others are known by their servers' names."""


class Window:
    """Amounts taken in a span of time that ends now.

    Times are seconds of a clock that never goes back. What is taken at ``t`` counts until ``t + span`` at least, and at most
    a sixtieth of the span longer: over no span is more taken than the limit that was asked for.
    """

    def __init__(self, span: float) -> None:
        self._tick = span / TICKS
        self._parts: deque[tuple[int, dict[str, int]]] = deque()
        self._total = 0
        self._untold: set[int] = set()

    def used(self, now: float) -> int:
        """How much counts now."""
        first = int(now // self._tick) - TICKS
        while self._parts and self._parts[0][0] < first:
            self._total -= sum(self._parts.popleft()[1].values())
        return self._total

    def take(self, now: float, amount: int) -> int:
        """Count ``amount`` from now on; returns the part it is counted in, for :meth:`give_back`."""
        part = int(now // self._tick)
        self._count(part, OWN, self._in(part).get(OWN, 0) + amount)
        self._untold.add(part)
        return part

    def give_back(self, part: int, amount: int) -> None:
        """Count ``amount`` of what was taken in ``part`` no more, if it still counts."""
        own = next((counts.get(OWN, 0) for each, counts in self._parts if each == part), 0)
        if own:
            self._count(part, OWN, own - min(amount, own))
            self._untold.add(part)

    def learn(self, part: int, server: str, amount: int) -> None:
        """Another server has taken ``amount`` in ``part``, in all."""
        self._count(part, server, amount)

    def untold(self) -> list[tuple[int, int]]:
        """The parts in which this process's own amount has changed since they were asked for, with that amount."""
        told = [(part, counts.get(OWN, 0)) for part, counts in self._parts if part in self._untold]
        self._untold.clear()
        return told

    @property
    def changed(self) -> bool:
        """Whether there is anything untold."""
        return bool(self._untold)

    def tell_again(self, part: int) -> None:
        """The part was asked for in vain."""
        self._untold.add(part)

    def _count(self, part: int, server: str, amount: int) -> None:
        counts = self._in(part)
        self._total += amount - counts.get(server, 0)
        counts[server] = amount

    def _in(self, part: int) -> dict[str, int]:
        """What is counted in a part, by whom: nearly always the last one."""
        place = len(self._parts)
        while place and self._parts[place - 1][0] > part:
            place -= 1
        if not place or self._parts[place - 1][0] < part:
            self._parts.insert(place, (part, {}))
            return self._parts[place][1]
        return self._parts[place - 1][1]

    def wait(self, now: float, limit: int, amount: int) -> float:
        """Seconds until ``amount`` fits under ``limit``, if nothing else is taken; infinite where it never does."""
        if amount > limit:
            return float("inf")
        excess = self.used(now) + amount - limit
        if excess <= 0:
            return 0.0
        for part, counts in self._parts:
            excess -= sum(counts.values())
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
