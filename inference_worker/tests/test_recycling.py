from __future__ import annotations

import random

import pytest

from inference_worker.recycling import SLOW_FOR_S, SPREAD, SPREAD_S, STEPS, Drift, Recycling


def stepping(drift: Drift, seconds: float, *, until: float, rows: int = 8, since: float = 0.0) -> None:
    """Ten steps a second."""
    for tenth in range(int(since * 10), int(until * 10)):
        drift.add(rows, seconds, tenth / 10)


def test_steps_that_stay_slow_are_drift() -> None:
    drift = Drift(2.0)
    stepping(drift, 0.010, until=100)
    stepping(drift, 0.021, since=100, until=100 + SLOW_FOR_S)
    assert not drift.slow(100 + SLOW_FOR_S)
    stepping(drift, 0.021, since=100 + SLOW_FOR_S, until=130 + SLOW_FOR_S)
    assert drift.slow(130 + SLOW_FOR_S)


def test_a_slow_minute_a_slow_step_and_less_than_the_factor_are_not() -> None:
    drift = Drift(2.0)
    stepping(drift, 0.010, until=100)
    stepping(drift, 0.050, since=100, until=160)
    stepping(drift, 0.019, since=160, until=2000)
    for _ in range(STEPS // 2 - 1):
        drift.add(8, 9.0, 2000.0)
    stepping(drift, 0.019, since=2000, until=2100)
    assert not drift.slow(2100.0 + SLOW_FOR_S)


def test_large_batches_are_compared_with_large_ones() -> None:
    drift = Drift(2.0)
    stepping(drift, 0.010, until=100, rows=1)
    stepping(drift, 0.100, since=100, until=1000, rows=64)
    stepping(drift, 0.101, since=1000, until=2000, rows=100)
    assert not drift.slow(2000.0)


def test_no_factor_no_drift_and_nothing_is_kept() -> None:
    drift = Drift(0.0)
    stepping(drift, 0.010, until=100)
    stepping(drift, 1.0, since=100, until=2000)
    assert not drift.slow(2000.0)
    assert not drift._steps


def test_what_it_keeps_does_not_grow() -> None:
    drift = Drift(2.0)
    for rows in range(1, 2000):
        for _ in range(3):
            drift.add(rows, 0.01, float(rows))
    assert len(drift._steps) == 11
    assert all(len(steps) < STEPS for steps in drift._steps.values())


@pytest.mark.parametrize("seed", range(5))
def test_it_is_due_after_the_hours_more_or_less(seed: int) -> None:
    recycling = Recycling(24, Drift(0), started=1000.0, chance=random.Random(seed))
    assert recycling.due(1000.0 + 24 * 3600 * (1 - SPREAD) - 1) is None
    assert recycling.due(1000.0 + 24 * 3600 * (1 + SPREAD) + 1) == "age"


def test_workers_of_one_age_do_not_leave_together() -> None:
    dues = {Recycling(24, Drift(0), 0.0, random.Random(seed))._due for seed in range(10)}
    assert len(dues) == 10


def test_never_by_age_if_not_wanted() -> None:
    assert Recycling(0, Drift(0), started=0.0).due(1e12) is None


def test_it_is_due_a_while_after_it_became_slow() -> None:
    drift = Drift(2.0)
    recycling = Recycling(0, drift, started=0.0, chance=random.Random(3))
    stepping(drift, 0.010, until=100)
    stepping(drift, 0.030, since=100, until=200 + SLOW_FOR_S)
    now = 200 + SLOW_FOR_S
    assert recycling.due(now) is None
    # Fast again meanwhile: it was seen, so it leaves all the same.
    stepping(drift, 0.010, since=now, until=now + 60)
    assert recycling.due(now + SPREAD_S) == "slow"
