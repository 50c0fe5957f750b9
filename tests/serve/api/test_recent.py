"""What has just happened, second by second and request by request."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dovetail.serve.api.http.recent import REQUESTS, SECONDS, Recent, percentile, series


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_seconds_hold_what_happened_in_them() -> None:
    clock = Clock()
    recent = Recent(clock)
    one = recent.begin("a", "POST", "/v1/edits", "127.0.0.1")
    recent.tokens(3)
    clock.now = 1001.5
    two = recent.begin("b", "POST", "/v1/edits", "127.0.0.1")
    recent.tokens(4)
    recent.end(one, 200, None, 1.5)
    clock.now = 1003.0
    seconds = recent.seconds(4)
    assert series(seconds, "tokens") == [0, 3, 4, 0]
    assert series(seconds, "running") == [0, 1, 2, 0]
    assert series(seconds, "answered") == [0, 0, 1, 0]
    assert [each.request_id for each in recent.requests()] == ["b", "a"]
    recent.end(two, 499, None, 1.5)
    assert [each.outcome for each in recent.requests()] == ["left", "answered"]


def test_it_forgets() -> None:
    clock = Clock()
    recent = Recent(clock)
    for number in range(REQUESTS + 10):
        passing = recent.begin(str(number), "GET", "/" + "x" * 5000, "")
        recent.tokens(1)
        clock.now += 2
        recent.end(passing, 404, None, 0.1)
    assert len(recent.requests()) == REQUESTS
    assert max(len(each.path) for each in recent.requests()) < 200
    assert len(recent._seconds) <= SECONDS + 2


def test_latencies_are_of_answers_with_tokens() -> None:
    clock = Clock()
    recent = Recent(clock)
    for tokens in (0, 1, 5):
        passing = recent.begin("x", "POST", "/v1/edits", "")
        passing.first_token_s, passing.completion_tokens = (0.5 if tokens else None), tokens
        recent.end(passing, 200, None, 2.5)
    assert recent.latencies() == {"first_token": [0.5, 0.5], "between_tokens": [0.5], "whole": [2.5, 2.5]}
    clock.now += SECONDS + 1
    assert recent.latencies()["whole"] == []


@given(st.lists(st.floats(0, 1e6), min_size=1), st.sampled_from([0.5, 0.95, 0.99, 1.0]))
def test_percentiles(values: list[float], share: float) -> None:
    found = percentile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-9
    assert sum(value < found for value in values) < share * len(values)
