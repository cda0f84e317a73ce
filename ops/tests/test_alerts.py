"""The rules are what Prometheus takes, and ask for what our processes show."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import promql_parser
import pytest
import yaml

from ops.tests import exported, rules
from ops.tests.rules import ALERTS, Rule

RULES = rules.all_rules()
RUNBOOKS = {path.stem for path in ALERTS.with_name("runbooks").glob("*.md")} - {"README"}
each = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.alert)


def test_every_alert_has_a_runbook_and_every_runbook_one_alert() -> None:
    assert sorted(rule.alert for rule in RULES) == sorted(RUNBOOKS)


@each
def test_an_alert_says_how_bad_it_is_what_it_is_and_what_to_do(rule: Rule) -> None:
    assert rule.labels in ({"severity": "critical"}, {"severity": "warning"})
    assert set(rule.annotations) == {"summary", "runbook"}
    assert rule.annotations["runbook"] == f"ops/runbooks/{rule.alert}.md"
    assert rule.annotations["summary"].endswith(".")


@each
def test_an_alert_asks_for_series_and_labels_that_there_are(rule: Rule) -> None:
    expression = promql_parser.parse(rule.expr)
    asked = rules.series(expression)
    assert asked
    for one in asked:
        assert one.name in exported.series(), one.name
        labels = exported.series()[one.name] | exported.OF_TARGETS
        assert set(one.labels) <= labels, one.name
        for label, values in one.labels.items():
            assert set(values) <= exported.VALUES[label], f"{one.name}: {label}"
    # Whatever it sums or joins by is a label of something in it.
    everything = exported.OF_TARGETS.union(*(exported.series()[one.name] for one in asked))
    assert rules.grouped(expression) <= everything


def test_what_an_alert_sees_grow_is_there_from_the_beginning() -> None:
    """Of a series that appears with its first number Prometheus sees no increase. Asked of a new process."""
    shown = subprocess.run(
        [sys.executable, "-c", "import gateway.telemetry, prometheus_client as p; "
         "print(p.generate_latest().decode())"],
        env={**os.environ, "PYTHONPATH": str(ALERTS.parents[1] / "platform")},
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    asked = {one for rule in RULES for one in _counted(rule)}
    assert asked
    assert [one for one in asked if f"{one} 0.0" not in shown] == []


def _counted(rule: Rule) -> Iterator[str]:
    for one in rules.series(promql_parser.parse(rule.expr)):
        for label, values in one.labels.items() if one.name.endswith("_total") else ():
            yield from (f'{one.name}{{{label}="{value}"}}' for value in values)


@each
def test_a_summary_tells_of_labels_that_the_alert_has(rule: Rule) -> None:
    """A sum has the labels that it was made by, and a series of one process those of the process."""
    expression = promql_parser.parse(rule.expr)
    has = rules.grouped(expression) | exported.OF_TARGETS
    for one in rules.series(expression):
        has |= exported.series()[one.name]
    summary = rule.annotations["summary"]
    assert set(re.findall(r"\$labels\.(\w+)", summary)) <= has
    assert summary.count("{{") == summary.count("}}")
    assert re.sub(r"{{ (\$labels\.\w+|\$value|with \$labels\.\w+|\.|end) }}", "", summary).count("{{") == 0


# ---- that the reading is as strict as Prometheus'


GOOD = ALERTS.joinpath("region.yml").read_text()


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("        for: 30s\n", "        fro: 30s\n", "unknown field `fro`"),
        ("        for: 30s\n", "        for: 30 seconds\n", "duration"),
        ("    rules:\n", "    rulse:\n", "unknown field `rulse`"),
        ("groups:\n", "group:\n", "unknown field `group`"),
        ("        expr: >\n", "        expr: >\n          sum( +\n", "unclosed left parenthesis"),
        ("sum by (region) (up", "rate(up", "expected type matrix"),
        ("sum by (region) (up", "avrage by (region) (up", "invalid promql"),
        ("alert: RegionDown", "alert: region-down", "no name for an alert"),
        ("labels: {severity: critical}", "labels: {severity: [critical]}", "Expected `str`, got `array`"),
        ("labels: {severity: critical}", "labels: {}\n        labels: {}", "twice"),
        ("groups:\n", "groups:\n  - {name: region, rules: []}\n", "a group is there twice"),
    ],
)
def test_a_mistake_in_a_file_is_found(old: str, new: str, says: str) -> None:
    assert rules.parse(GOOD)
    assert GOOD.count(old) == 1
    with pytest.raises(ValueError, match=says):
        rules.parse(GOOD.replace(old, new))


def test_what_an_expression_asks_for_is_seen_wherever_it_stands() -> None:
    parsed = promql_parser.parse(
        'histogram_quantile(0.9, sum by (le, a) (rate(x_bucket{b="c"}[5m] offset 1d))) > on (d) '
        'group_left (e) max_over_time(y{f=~"g|h"}[1h:1m])'
    )
    assert [(one.name, one.labels) for one in rules.series(parsed)] == [
        ("x_bucket", {"b": ("c",)}),
        ("y", {"f": ("g", "h")}),
    ]
    assert rules.grouped(parsed) == {"le", "a", "d", "e"}


# ---- Prometheus' own tool, where it is


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool comes with Prometheus, not with pip")
@pytest.mark.parametrize("command", [("check", "rules"), ("test", "rules")], ids=" ".join)
def test_promtool_agrees(command: tuple[str, str]) -> None:
    folder = ALERTS / "unit" if command[0] == "test" else ALERTS
    files: list[Path] = sorted(folder.glob("*.yml"))
    done = subprocess.run(["promtool", *command, *files], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_is_rehearsed() -> None:
    rehearsed = "".join(path.read_text() for path in (ALERTS / "unit").glob("*.yml"))
    assert set(re.findall(r"^ +- alertname: (\w+)$", rehearsed, re.MULTILINE)) == RUNBOOKS


def test_the_configuration_that_the_rules_want_is_one() -> None:
    text = (ALERTS / "README.md").read_text()
    (example,) = re.findall(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    jobs = yaml.safe_load(example)["scrape_configs"]
    assert {job["job_name"] for job in jobs} == exported.VALUES["job"]
    labels = {label for job in jobs for target in job["static_configs"] for label in target["labels"]}
    assert labels | {"instance", "job"} == exported.OF_TARGETS
    # Else what a gateway says of another region would be told of its own.
    assert all(job.get("honor_labels") for job in jobs if job["job_name"] == "gateway")
