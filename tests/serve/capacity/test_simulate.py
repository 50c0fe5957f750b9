"""The simulation of many servers: nothing is lost, the same seed gives the same, and routing by conversation keeps prefixes."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail.serve.capacity.simulate import Setting, simulate

SMALL = Setting(servers=8, arrivals=0.8, routing="prefix", conversations=150, places=8)


@settings(max_examples=20)
@given(st.integers(1, 12), st.sampled_from(["prefix", "least busy"]), st.integers(0, 5))
def test_every_turn_is_served_once(servers: int, routing: str, seed: int) -> None:
    setting = replace(SMALL, servers=servers, routing=routing, conversations=40)  # type: ignore[arg-type]
    outcome = simulate(setting, seed)
    assert outcome.requests == 40 * setting.turns
    assert 0 <= outcome.cached < 1
    assert outcome == simulate(setting, seed)


def test_routing_by_conversation_finds_prefixes_that_spreading_loses() -> None:
    near, spread = simulate(SMALL), simulate(replace(SMALL, routing="least busy"))
    assert near.cached > spread.cached + 0.2
    assert near.first_token_p50_s < spread.first_token_p50_s
    assert near.fullest < 3


def test_one_server_finds_them_either_way() -> None:
    alone = replace(SMALL, servers=1, arrivals=0.05)
    assert simulate(alone) == simulate(replace(alone, routing="least busy"))


def test_a_cache_without_room_finds_less() -> None:
    assert simulate(replace(SMALL, cache=10_000)).cached < simulate(SMALL).cached
