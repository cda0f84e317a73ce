from __future__ import annotations

import pytest

from tests.benchmarks import metering_ingest


# Some processes that each start Django, and a Celery among them, beside PostgreSQL and Valkey.
@pytest.mark.stack
@pytest.mark.timeout(400)
def test_a_small_one_measures_each_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metering_ingest, "PROCESSES", 1)
    figures = metering_ingest.measure((8000,), 1000, celery_events=1000, steady_s=1.0, cost_events=2000)
    for name in ("old_events_per_s", "batch_events_per_s", "posted_events_per_s", "celery_events_per_s"):
        assert figures[name] > 0
    assert 0 < figures["median_s"] <= figures["p95_s"]
    (row,) = figures["growth"]
    assert row["ledger_rows"] >= 8000
    assert row["record_us"] > 0
    assert row["post_us"] > 0
