"""Figures with 95 % confidence intervals: shares (Wilson, 1927), means, quantiles by order statistics. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_Z = 1.959964


@dataclass(frozen=True)
class Metric:
    """A figure, of how many samples, and the bounds of its 95 % confidence interval; None: it has none."""

    name: str
    value: float
    n: int
    unit: str
    about: str
    low: float | None = None
    high: float | None = None


def share(name: str, hits: Sequence[bool], about: str) -> Metric:
    """How many of them hold."""
    n = len(hits)
    if not n:
        return Metric(name, 0.0, 0, "share", about)
    p = sum(hits) / n
    middle, spread = p + _Z * _Z / (2 * n), _Z * math.sqrt(p * (1 - p) / n + _Z * _Z / (4 * n * n))
    scale = 1 + _Z * _Z / n
    low, high = max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)
    return Metric(name, _short(p), n, "share", about, _short(min(low, p)), _short(max(high, p)))


def mean(name: str, values: Sequence[float], unit: str, about: str) -> Metric:
    """Their mean; the interval takes it to be normal."""
    n = len(values)
    if not n:
        return Metric(name, 0.0, 0, unit, about)
    m = math.fsum(values) / n
    if n < 2:
        return Metric(name, _short(m), n, unit, about)
    spread = _Z * math.sqrt(math.fsum((each - m) ** 2 for each in values) / (n - 1) / n)
    return Metric(name, _short(m), n, unit, about, _short(m - spread), _short(m + spread))


def quantile(name: str, values: Sequence[float], q: float, unit: str, about: str) -> Metric:
    """A quantile; its interval lies between two of the values, and is left out where they are too few to bound it."""
    ordered, n = sorted(values), len(values)
    if not n:
        return Metric(name, 0.0, 0, unit, about)
    value = ordered[min(n - 1, math.ceil(q * n) - 1)]
    spread = _Z * math.sqrt(n * q * (1 - q))
    low, high = math.floor(n * q - spread) - 1, math.ceil(n * q + spread)
    if low < 0 or high >= n:
        return Metric(name, _short(value), n, unit, about)
    return Metric(name, _short(value), n, unit, about, _short(ordered[low]), _short(ordered[high]))


def _short(value: float) -> float:
    return float(f"{value:.6g}")
