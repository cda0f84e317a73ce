from __future__ import annotations

from tests.benchmarks import reconcile


def test_a_small_one_finds_what_was_put_there(monkeypatch) -> None:
    monkeypatch.setattr(reconcile, "ODD_EVERY", 500)
    figures = reconcile.measure(tenants=3, events=100, rounds=1)
    assert figures["events"] == 300
    assert len(figures["seconds"]) == 1
    assert figures["mended"][0] > 0
