from __future__ import annotations

from tests.benchmarks import reconcile


def test_a_small_one_finds_what_was_put_there() -> None:
    figures = reconcile.measure(tenants=3, events=100, rounds=1, odd_every=4)
    assert figures["events"] == 300
    assert len(figures["seconds"]) == 1
    # Of the streams 2 to 7 the fifth has lost something, and the third and the seventh have too much.
    assert figures["mended"] == [3]
