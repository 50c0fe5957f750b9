"""Capacity on paper: what has to hold whatever the numbers are, and sums done by hand."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from typer.testing import CliRunner

from dovetail.serve.capacity.estimate import Load, decode_step_s, plan, prefill_s
from dovetail.serve.capacity.shapes import MACHINES, MODELS, Machine, Model
from dovetail.serve.cli import app
from dovetail.serve.errors import UserError

BY_HAND = Machine(name="x", memory=100e9, bandwidth=1e12, rate=1e14, reads=1.0, computes=1.0, decodes=1.0, step_s=0.0)
TEN = Model(name="ten", parameters=10e9, active=10e9, layers=10, kv_width=100)
loads = st.builds(
    Load,
    users=st.integers(1, 5000),
    prompt=st.integers(100, 20_000),
    output=st.integers(10, 2000),
    cached=st.floats(0, 0.95),
    speed=st.floats(5, 40),
)


def test_one_stream_reads_all_weights_each_step() -> None:
    assert decode_step_s(TEN, BY_HAND, 1, 0) == pytest.approx(20e9 / 1e12)
    assert decode_step_s(TEN, BY_HAND, 1, 1000) == pytest.approx((20e9 + 1000 * 2 * 10 * 100 * 2) / 1e12)


def test_a_large_batch_is_bound_by_the_matrix_rate_or_pays_both() -> None:
    assert decode_step_s(TEN, BY_HAND, 400, 0) == pytest.approx(2 * 10e9 * 400 / 1e14)
    both = replace(BY_HAND, overlaps=False)
    assert decode_step_s(TEN, both, 400, 0) == pytest.approx(2 * 10e9 * 400 / 1e14 + 0.02)


def test_a_prompt_costs_two_operations_per_weight_and_token() -> None:
    assert prefill_s(TEN, BY_HAND, 8000) == pytest.approx(2 * 10e9 * 8000 / 1e14)


def test_experts_are_read_as_far_as_they_are_chosen() -> None:
    experts = replace(TEN, active=1e9)
    assert decode_step_s(experts, BY_HAND, 1, 0) == pytest.approx(2e9 / 1e12)
    assert decode_step_s(experts, BY_HAND, 1000, 0) <= decode_step_s(TEN, BY_HAND, 1000, 0)


@given(st.sampled_from(list(MODELS)), st.sampled_from(list(MACHINES)), loads, st.sampled_from(["bf16", "fp8", "int4"]))
def test_a_plan_keeps_its_promises(model: str, machine: str, load: Load, weights: str) -> None:
    try:
        made = plan(MODELS[model].stored(weights), MACHINES[machine], load)
    except UserError:
        assume(False)
        raise
    server = MACHINES[machine].several(made.machines_per_server)
    assert made.stream_tokens_per_second >= load.speed
    assert made.total_requests_per_second >= load.requests_per_second
    assert made.weights_gb + made.batch * made.kv_gb_per_sequence <= server.memory / 1e9
    assert made.total_machines == made.servers * made.machines_per_server
    more = plan(MODELS[model].stored(weights), MACHINES[machine], replace(load, users=load.users * 2))
    assert more.total_machines >= made.total_machines


def test_prompts_that_are_to_be_found_again_need_room() -> None:
    load = Load(users=500)
    made = plan(MODELS["32b"], MACHINES["h200"], load)
    rest = 500 / made.servers - made.conversations
    assert made.host_memory_gb == pytest.approx(rest * made.kv_gb_per_sequence, rel=0.02)
    assert plan(MODELS["32b"], MACHINES["h200"], replace(load, cached=0.0)).host_memory_gb == 0
    assert plan(MODELS["7b"], MACHINES["h200"], Load(users=1)).host_memory_gb == 0


def test_what_cannot_be_planned_says_what_to_change() -> None:
    with pytest.raises(UserError, match="fewer bits"):
        plan(MODELS["480b-a35b"], MACHINES["rtx4090"], Load(users=1))
    with pytest.raises(UserError, match="lower speed"):
        plan(MODELS["32b"], MACHINES["rtx4090"], Load(users=1, speed=1000))


def test_the_command() -> None:
    told = CliRunner().invoke(app, ["plan", "--model", "7b", "--gpu", "l40s", "--users", "50", "--json"])
    assert told.exit_code == 0
    assert json.loads(told.output)["machine"] == "l40s"
    text = CliRunner().invoke(app, ["plan", "--model", "70b"]).output
    assert "x h200" in text
    wrong = CliRunner().invoke(app, ["plan", "--gpu", "abacus"])
    assert isinstance(wrong.exception, UserError)
    assert "h200" in wrong.exception.message
