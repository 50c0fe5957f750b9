"""Intervals: known values, and what holds for all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovetail.agent.evaluate.statistics import mean, quantile, share

figures = st.lists(st.floats(0, 1e6), min_size=1, max_size=60)


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [(5, 10, 0.23659, 0.76341), (0, 20, 0.0, 0.16113), (20, 20, 0.83887, 1.0), (1, 1, 0.20655, 1.0)],
)
def test_shares_as_in_the_tables(hits: int, n: int, low: float, high: float) -> None:
    metric = share("x", [True] * hits + [False] * (n - hits), "")
    assert metric.value == hits / n
    assert (metric.low, metric.high) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


def test_a_mean_and_its_interval() -> None:
    metric = mean("x", [1.0, 2.0, 3.0, 4.0], "", "")
    assert (metric.value, metric.n) == (2.5, 4)
    assert (metric.low, metric.high) == (pytest.approx(1.2349, abs=1e-3), pytest.approx(3.7651, abs=1e-3))


@given(st.lists(st.booleans(), min_size=1, max_size=200))
def test_a_share_lies_in_its_interval(hits: list[bool]) -> None:
    metric = share("x", hits, "")
    assert metric.low is not None
    assert metric.high is not None
    assert 0 <= metric.low <= metric.value <= metric.high <= 1


@given(figures, st.sampled_from([0.5, 0.95]))
def test_a_quantile_is_one_of_the_values_and_lies_in_its_interval(values: list[float], q: float) -> None:
    metric = quantile("x", values, q, "", "")
    assert any(metric.value == pytest.approx(each, rel=1e-5) for each in values)
    assert metric.low is None or metric.high is None or metric.low <= metric.value <= metric.high


def test_nothing_measured_is_no_figure() -> None:
    for metric in (share("x", [], ""), mean("x", [], "", ""), quantile("x", [], 0.5, "", "")):
        assert (metric.n, metric.low, metric.high) == (0, None, None)
