"""The smallest part of a patch that still passes a test. Applies nothing itself, and knows no test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dovetail.agent.debug.changes import Change, Patch
from dovetail.agent.debug.minimise import minimise
from dovetail.agent.problems import Problem


@dataclass(frozen=True)
class Shrunk:
    """``patch`` passes, and no change can be left out of it. ``dropped``: the changes that were not needed."""

    patch: str
    dropped: tuple[Change, ...]
    tests: int
    """How often the test was run."""


def shrink(patch: str, passes: Callable[[str], bool]) -> Shrunk:
    """Leave out of a patch what ``passes`` does not need; a part that does not apply must not pass.

    Raises:
        Problem: the whole patch does not pass, or it cannot be read.
    """
    whole = Patch(patch)
    tests = 0

    def tried(changes: object) -> bool:
        nonlocal tests
        tests += 1
        assert isinstance(changes, list)
        return passes(whole.only(changes))

    try:
        kept = minimise(whole.changes, tried)
    except ValueError as error:
        raise Problem("The patch does not pass the test as it is: there is nothing to shrink.") from error
    needed = set(kept)
    return Shrunk(whole.only(kept), tuple(each for each in whole.changes if each not in needed), tests)
