"""Two results of one suite side by side: another model, or other settings. Says which differences are more than chance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dovetail.agent.problems import FileProblem


@dataclass(frozen=True)
class Difference:
    """One metric in both. ``apart``: their confidence intervals do not meet."""

    name: str
    about: str
    first: str
    second: str
    change: str
    apart: bool | None


def differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Difference]:
    """Every metric that both have. Raises FileProblem where the tasks are not the same."""
    if (first["suite"], first["suite_digest"]) != (second["suite"], second["suite_digest"]):
        raise FileProblem(
            f"These are not the same tasks ({first['suite']} and {second['suite']}): run both with the same suite, seed, "
            "number of samples and source."
        )
    others = {each["name"]: each for each in second["metrics"]}
    return [_difference(each, others[each["name"]]) for each in first["metrics"] if each["name"] in others]


def shown(metric: Mapping[str, Any]) -> str:
    """A metric with its interval."""
    interval = (
        "" if metric["low"] is None else f" [{_figure(metric, metric['low'])}, {_figure(metric, metric['high'])}]"
    )
    return f"{_figure(metric, metric['value'])}{interval}"


def _difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> Difference:
    change = other["value"] - one["value"]
    told = f"{change * 100:+.1f} points" if one["unit"] == "share" else f"{change:+.4g} {one['unit']}"
    apart = None
    if one["low"] is not None and other["low"] is not None:
        apart = one["high"] < other["low"] or other["high"] < one["low"]
    return Difference(one["name"], one["about"], shown(one), shown(other), told, apart)


def _figure(metric: Mapping[str, Any], value: float) -> str:
    return f"{value:.1%}" if metric["unit"] == "share" else f"{value:,.4g} {metric['unit']}"
