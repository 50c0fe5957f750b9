"""Draft lengths: long where drafts are confirmed and rows are cheap, none where they are not."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovetail.serve.engine.native.pace import Acceptance, PromptPace, StepCost


def cost(fixed: float, per_row: float) -> StepCost:
    fitted = StepCost()
    for rows in (1, 4, 2, 9, 1, 17, 3, 33):
        fitted.observe(rows, fixed + per_row * rows)
    return fitted


@given(st.floats(0.001, 1), st.floats(0, 1), st.integers(1, 32), st.integers(0, 32))
def test_a_linear_cost_is_found(fixed: float, per_row: float, rows: int, more: int) -> None:
    want = (fixed + per_row * (rows + more)) / (fixed + per_row * rows)
    got = cost(fixed, per_row).growth(rows, more)
    assert got == pytest.approx(want, rel=1e-3) or got <= want


def acceptance(drafted: int, accepted: int, times: int = 40, evidence: int = 4) -> Acceptance:
    seen = Acceptance()
    for _ in range(times):
        seen.observe(drafted, accepted, evidence)
    return seen


def test_confirmed_drafts_grow_and_refused_ones_stop() -> None:
    cheap, dear = cost(1.0, 0.001), cost(0.001, 1.0)
    assert acceptance(8, 8).length(4, cheap, 1, 32) == 32
    assert acceptance(8, 8).length(4, cheap, 1, 5) == 4
    assert acceptance(8, 0).length(4, cheap, 1, 32) <= 1
    assert acceptance(8, 4).length(4, dear, 8, 32) == 0


def test_more_evidence_longer_drafts() -> None:
    lengths = [Acceptance().length(evidence, cost(1.0, 0.05), 1, 32) for evidence in (1, 2, 4, 8, 16, 32)]
    assert lengths == sorted(lengths)
    assert lengths[0] < lengths[-1]


def test_evidence_is_judged_apart() -> None:
    seen = acceptance(8, 0, evidence=1)
    seen.observe(8, 8, 20)
    middling = cost(1.0, 0.1)
    assert seen.length(1, middling, 1, 32) == 0
    assert seen.length(20, middling, 1, 32) >= 8


def test_what_is_refused_may_try_again_now_and_then() -> None:
    seen, dear = acceptance(8, 0, evidence=1), cost(1.0, 0.5)
    assert sum(seen.length(1, dear, 1, 32) for _ in range(128)) == 2


def test_a_new_sequence_starts_from_what_is_usual() -> None:
    usual = Acceptance(forget=0.99)
    for _ in range(100):
        Acceptance(usual).observe(8, 0, 4)
    assert Acceptance(usual).rates[3] < 0.2 < Acceptance().rates[3]


def test_it_shrinks_as_the_batch_grows() -> None:
    mixed = cost(1.0, 0.1)
    lengths = [acceptance(8, 6).length(4, mixed, rows, 32) for rows in (1, 8, 64)]
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[0] > lengths[-1]


def test_where_no_draft_pays_probes_become_rare() -> None:
    seen, dear = Acceptance(), cost(0.01, 1.0)
    limits = [seen.limit(dear, 1, 32) for _ in range(1200)]
    probes = [step for step, limit in enumerate(limits) if limit]
    gaps = [later - earlier for earlier, later in itertools.pairwise(probes)]
    assert 4 <= len(probes) <= 12
    assert gaps == sorted(gaps)
    cheap = cost(1.0, 0.001)
    assert max(seen.limit(cheap, 1, 32) for _ in range(257)) == 32, "a probe finds out that they pay now"


@given(st.lists(st.tuples(st.integers(1, 4096), st.floats(1e-4, 10)), max_size=20), st.integers(1, 4096))
def test_prompt_chunks_stay_in_bounds(steps: list[tuple[int, float]], most: int) -> None:
    pace = PromptPace(target_s=0.2)
    for rows, seconds in steps:
        pace.observe(rows, seconds)
    assert 1 <= pace.budget(most) <= most


def test_prompt_chunks_aim_at_the_target() -> None:
    pace = PromptPace(target_s=0.2)
    assert pace.budget(2048) == 128, "careful before anything is known"
    for _ in range(20):
        pace.observe(500, 0.5)
    assert pace.budget(2048) == pytest.approx(200, abs=2)
    assert pace.budget(100) == 100
