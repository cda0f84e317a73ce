from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest
import yaml
from prometheus_client import generate_latest

from inference_worker.engines.base import Memory
from inference_worker.telemetry import Telemetry
from metering import health as billing
from metering.health import Health

OPS = Path(__file__).parents[1]
RULES = [
    rule
    for path in sorted((OPS / "alerts").glob("*.yml"))
    for group in yaml.safe_load(path.read_text())["groups"]
    for rule in group["rules"]
]
RUNBOOKS = sorted(path for path in (OPS / "runbooks").glob("*.md") if path.name != "README.md")
METRIC = re.compile(r"\b(?:worker|stenogate_billing|stenogate_gateway)_[a-z_]+")


@pytest.fixture(scope="module")
def metrics() -> set[str]:
    """What a worker's page has, and a gateway's of billing."""
    telemetry = Telemetry()
    telemetry.watch_memory(lambda: Memory(1, 1, 1, 0, 0))
    telemetry.watch_log(lambda: 0, lambda: 0.0)
    for labelled in (telemetry.state, telemetry.refused, telemetry.ended):
        labelled.labels("x")
    import_module("gateway.telemetry")  # tells of itself as it is read
    billing.tell(Health({"lost": 1}, 0, 0, 0, 0, 0, 0))
    return set(METRIC.findall((telemetry.page() + generate_latest()).decode()))


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    names = [rule["alert"] for rule in RULES]
    assert sorted(names) == [path.stem for path in RUNBOOKS]
    for readme in (OPS / "runbooks" / "README.md",):
        assert all(f"({name}.md)" in readme.read_text() for name in names)


@pytest.mark.parametrize("path", RUNBOOKS, ids=lambda path: path.stem)
def test_a_runbook_has_its_four_headings_and_is_short(path: Path) -> None:
    lines = path.read_text().splitlines()
    headings = [line for line in lines if line.startswith("#") and not line.startswith("# Has")]
    assert headings == [f"# {path.stem}", "## Meaning", "## Impact", "## Diagnosis", "## Mitigation"]
    assert len(lines) <= 45
    assert "```" in lines


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_asks_for_metrics_that_there_are(rule: dict[str, object], metrics: set[str]) -> None:
    asked = set(METRIC.findall(str(rule["expr"])))
    assert asked
    assert asked <= metrics
    assert rule["labels"] in ({"severity": "critical"}, {"severity": "warning"})


@pytest.mark.parametrize("path", RUNBOOKS, ids=lambda path: path.stem)
def test_a_runbook_greps_for_metrics_that_there_are(path: Path, metrics: set[str]) -> None:
    """`worker_(a|b)_c` asks for two."""
    for pattern in re.findall(r"grep -E '([^']+)'", path.read_text()):
        for part in re.split(r"\|(?![^(]*\))", pattern):
            before, _, rest = part.partition("(")
            inside, _, after = rest.partition(")")
            for one in inside.split("|"):
                assert any((before + one + after) in metric for metric in metrics), before + one + after
