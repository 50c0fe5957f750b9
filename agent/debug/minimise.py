"""Delta debugging (ddmin, Zeller and Hildebrandt 2002): the smallest part of some items that still passes a test."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

Item = TypeVar("Item")


def minimise(items: Sequence[Item], passes: Callable[[Sequence[Item]], bool]) -> list[Item]:
    """A part that passes, and that passes no more without any one of its items (1-minimal). The order stays.

    ``passes`` is asked once for any part.

    Raises:
        ValueError: not even all items together pass.
    """
    asked: dict[tuple[int, ...], bool] = {}

    def holds(chosen: Sequence[int]) -> bool:
        key = tuple(chosen)
        if key not in asked:
            asked[key] = passes([items[index] for index in key])
        return asked[key]

    current = list(range(len(items)))
    if not holds(current):
        raise ValueError("all items together do not pass the test")
    if holds([]):
        return []
    parts = 2
    while len(current) > 1:
        smaller = _step(current, min(parts, len(current)), holds)
        if smaller is not None:
            current, parts = smaller
        elif parts >= len(current):
            break
        else:
            parts *= 2
    return [items[index] for index in current]


def _step(current: list[int], parts: int, holds: Callable[[Sequence[int]], bool]) -> tuple[list[int], int] | None:
    """One of the parts alone, or all but one of them, with the parts to go on with; None if none of these holds."""
    chunks = [current[index * len(current) // parts : (index + 1) * len(current) // parts] for index in range(parts)]
    for chunk in chunks:
        if len(chunk) < len(current) and holds(chunk):
            return chunk, 2
    for chunk in chunks:
        dropped = set(chunk)
        rest = [index for index in current if index not in dropped]
        if rest and holds(rest):
            return rest, max(parts - 1, 2)
    return None
