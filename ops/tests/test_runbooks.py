"""The runbooks' form, and the metrics they look for. Their commands are run in tests/acceptance."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ops.tests import exported, greps

FOLDER = Path(__file__).parents[1] / "runbooks"
RUNBOOKS = sorted(path for path in FOLDER.glob("*.md") if path.name != "README.md")
each = pytest.mark.parametrize("path", RUNBOOKS, ids=lambda path: path.stem)


@each
def test_a_runbook_has_its_four_headings_and_is_short(path: Path) -> None:
    lines = path.read_text().splitlines()
    headings = [line for line in _without_commands(path).splitlines() if line.startswith("#")]
    assert headings == [f"# {path.stem}", "## Meaning", "## Impact", "## Diagnosis", "## Mitigation"]
    assert len(lines) <= 45
    assert "```sh" in lines


@each
def test_a_runbook_asks_for_metrics_that_there_are(path: Path) -> None:
    patterns = [pattern for line in path.read_text().splitlines() for pattern in greps.of_metrics(line)]
    for one in (alternative for pattern in patterns for alternative in greps.alternatives(pattern)):
        assert any(re.match(one, f"{series} ") for series in exported.series()), one
    assert patterns or path.stem in ("UsageLost",)


def test_the_readme_lists_all_of_them_once() -> None:
    listed = re.findall(r"\]\((\w+)\.md\)", (FOLDER / "README.md").read_text())
    assert sorted(listed) == [path.stem for path in RUNBOOKS]


def _without_commands(path: Path) -> str:
    return re.sub(r"^```.*?^```", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)


def test_what_a_command_greps_for_is_seen_part_by_part() -> None:
    line = "curl -s http://127.0.0.1:8000/metrics | grep -E '^a_(b|c(d|e))_f|^g' || echo no"
    (pattern,) = greps.of_metrics(line)
    assert list(greps.alternatives(pattern)) == ["^a_b_f", "^a_cd_f", "^a_ce_f", "^g"]
    assert greps.of_metrics("curl -s http://127.0.0.1:8000/healthz | grep -E 'a|b'") == []
    assert list(greps.alternatives("^a(_b)? ")) == ["^a_b ", "^a "]
