from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from tests.benchmarks import sweep_report
from tests.benchmarks.sweep_report import Slo, judged


def row(streams: int, first: float | None = 200.0, **more: Any) -> dict[str, Any]:
    return {
        "right": 1, "chunk_ms": 160, "wait_ms": "5", "streams": streams, "errors": 0,
        "ttft_p95_ms": first, "drift_p99_ms": 10.0, **more,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("one", "broken"),
    [
        (row(1), ""),
        (row(1, 300.0), ""),
        (row(1, 300.1), "ttft_p95_ms 300.1"),
        (row(1, None), "no ttft_p95_ms"),
        (row(1, drift_p99_ms=1001.0), "drift_p99_ms 1001"),
        (row(1, errors=2), "2 errors"),
        (row(1, 400.0, errors=1), "ttft_p95_ms 400; 1 errors"),
    ],
)
def test_a_row_keeps_the_slo_or_says_why_not(one: dict[str, Any], broken: str) -> None:
    found = judged(one, Slo())
    assert found["why_not"] == broken
    assert found["slo"] == ("fail" if broken else "pass")


def test_the_best_has_most_streams_and_among_equals_the_soonest_words() -> None:
    rows = [judged(one, Slo()) for one in (row(10, 100.0), row(50, 250.0), row(50, 240.0), row(100, 301.0))]
    found = sweep_report.best(rows)
    assert found is not None
    assert (found["streams"], found["ttft_p95_ms"]) == (50, 240.0)
    assert "Best: 50 streams with chunks of 160 ms (ATT_RIGHT_CONTEXT=1)" in sweep_report.verdict(rows, Slo())


def test_where_nothing_passes_nothing_is_best() -> None:
    rows = [judged(row(1, 999.0), Slo()), {**row(10), "slo": "skipped", "why_not": "failed at 1"}]
    assert sweep_report.best(rows) is None
    said = sweep_report.verdict(rows, Slo())
    assert "0 cells pass, 1 fail, 1 were skipped" in said
    assert "No cell passes." in said


def test_the_csv_has_a_line_for_each_cell_and_nothing_for_what_was_not_measured() -> None:
    rows = [
        judged(row(1, None, cpu_cores={"worker": 1}), Slo()),
        {**row(10), "slo": "skipped", "why_not": ""},
    ]
    found = list(csv.DictReader(io.StringIO(sweep_report.as_csv(rows))))
    assert tuple(found[0]) == sweep_report.COLUMNS
    assert [one["slo"] for one in found] == ["fail", "skipped"]
    assert found[0]["ttft_p95_ms"] == ""
    assert found[0]["why_not"] == "no ttft_p95_ms"
