"""What the dashboard asks for is there, and each panel that names an alert names one that there is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import promql_parser
import pytest

from ops.tests import exported, rules

DASHBOARD = json.loads((Path(__file__).parents[1] / "dashboards" / "stenogate.json").read_text())
PANELS = DASHBOARD["panels"]
each = pytest.mark.parametrize("panel", PANELS, ids=[panel["title"] for panel in PANELS])


@each
def test_a_panel_asks_for_series_and_labels_that_there_are(panel: dict[str, Any]) -> None:
    assert panel["targets"]
    for target in panel["targets"]:
        # What Grafana puts in before Prometheus reads it.
        parsed = promql_parser.parse(
            target["expr"].replace("$__rate_interval", "5m").replace("$region", "eu|us")
        )
        has = set(exported.OF_TARGETS)
        for one in rules.series(parsed):
            has |= exported.series()[one.name]
            assert set(one.labels) <= exported.series()[one.name] | exported.OF_TARGETS, one.name
        assert rules.grouped(parsed) <= has
        assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= has


@each
def test_a_panel_names_alerts_that_there_are(panel: dict[str, Any]) -> None:
    named = {name.strip() for name in panel["description"].split(",") if name}
    assert named <= {rule.alert for rule in rules.all_rules()}


def test_panels_do_not_lie_on_each_other() -> None:
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    places = [panel["gridPos"] for panel in PANELS]
    taken = [
        (x, y) for p in places for x in range(p["x"], p["x"] + p["w"]) for y in range(p["y"], p["y"] + p["h"])
    ]
    assert len(set(taken)) == len(taken)
    assert max(x for x, _ in taken) < 24
