"""The dashboard asks only for metrics that /metrics has, under labels that they have."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from dovetail.serve.api.http.metrics import Metrics
from dovetail.serve.govern.audit.log import Counts
from dovetail.serve.types import Stats

DASHBOARD = json.loads((Path(__file__).parents[2] / "deploy/grafana/dovetail.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
FROM_PROMETHEUS = {"job", "instance", "le"}


def exposed() -> dict[str, set[str]]:
    """Every sample's name, as it is exposed once something has been counted, and its labels."""
    metrics = Metrics(lambda: Stats(finished={"stop": 1}), "digest", Counts())
    for instrument in vars(metrics).values():
        names = getattr(instrument, "_labelnames", ())
        if names:
            instrument.labels(*("x" for _ in names))
    metrics.between_tokens.labels("x")
    found: dict[str, set[str]] = {"up": set()}
    for family in metrics.registry.collect():
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_asks_for_what_is_there(panel) -> None:
    known = exposed()
    assert panel["targets"]
    for target in panel["targets"]:
        names = re.findall(r"\b(dovetail_\w+|up)\{([^}]*)\}", target["expr"])
        assert names, target["expr"]
        labels = set(re.findall(r"by \((\w+)\)", target["expr"])) | set(
            re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])
        )
        for name, conditions in names:
            assert name in known, name
            asked = labels | set(re.findall(r"(\w+)=~?", conditions))
            assert asked <= known[name] | FROM_PROMETHEUS, (name, asked)


def test_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
