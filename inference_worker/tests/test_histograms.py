from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client import Histogram as Theirs

from inference_worker.histograms import RECENT_S, Histogram, Recent, around

VALUES = (0.0, 0.05, 0.1, 0.10001, 0.3, 7.0, 0.2)


def test_it_says_what_prometheus_own_says() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    mine = Histogram("x_seconds", "X.", (0.1, 0.2, 0.4), ours)
    mine.add(VALUES[0])
    mine.add_all(VALUES[1:])
    his = Theirs("x_seconds", "X.", buckets=(0.1, 0.2, 0.4), registry=theirs)
    for value in VALUES:
        his.observe(value)
    said = [line for line in generate_latest(theirs).decode().splitlines() if "_created" not in line]
    assert generate_latest(ours).decode().splitlines() == said


@pytest.mark.parametrize("chunk_s", [0.08, 0.16, 0.56, 1.12])
def test_a_chunk_is_a_bound_and_half_of_one_and_two(chunk_s: float) -> None:
    bounds = around(chunk_s)
    assert bounds == tuple(sorted(set(bounds)))
    assert {chunk_s, round(chunk_s / 2, 5), round(2 * chunk_s, 5)} <= set(bounds)


def test_the_p95_is_of_the_recent_ones() -> None:
    recent = Recent()
    assert recent.p95_ms() == 0.0
    recent.add_all([9.0] * 1000)
    for number in range(256):
        recent.add(number / 1000)
    assert recent.p95_ms() == 242.0


def test_what_was_long_ago_does_not_count() -> None:
    now = 100.0
    recent = Recent(lambda: now)
    recent.add_all([5.0] * 200)
    now += RECENT_S - 1
    recent.add(0.1)
    assert recent.p95_ms() == 5000.0
    now += 2
    assert recent.p95_ms() == 100.0
    now += RECENT_S
    assert recent.p95_ms() == 0.0
