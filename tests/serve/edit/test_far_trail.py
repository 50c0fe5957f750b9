"""The far pointer: found again after a long deletion, where the plain one stays lost."""

from __future__ import annotations

from dovetail.serve.edit.zones.far_trail import FarTrail
from dovetail.serve.pointer import Pointer, Trail


def _walked(trail: Trail, tokens: list[int]) -> Pointer:
    pointer = Pointer()
    for token in tokens:
        pointer = trail.after(pointer, token)
    return pointer


def test_a_long_deletion() -> None:
    old = list(range(3000))
    new = [*old[:50], *old[2000:2020]]
    assert _walked(Trail(old), new).place is None
    pointer = _walked(FarTrail(old), new)
    assert pointer.place == 2020
    assert FarTrail(old).propose(pointer, 3) == [2020, 2021, 2022]


def test_a_run_that_is_everywhere_is_no_place() -> None:
    old = [*range(100, 800), *([1, 2, 3, 4, 5] * 50)]
    assert _walked(FarTrail(old), [100, 101, 7, 7, 7, 7, 7, 7, *([1, 2, 3, 4, 5] * 2)]).place is None
