from __future__ import annotations

import math
import random
from collections import Counter

import pytest

from gateway.ramp import COME_BACK_FROM_S, COME_BACK_UNTIL_S, LEAST, SLOWEST_FULL, Appointments, Pace, Ramp
from gateway.tests.test_workers import heartbeat

BEAT_S = 0.25


def opened_in(ramp: Ramp, seconds: float, *, late_ms: float = 0) -> int:
    """So many does it take of a crowd that never ends."""
    count = 0
    for _ in range(int(seconds / BEAT_S)):
        while ramp.turns >= 1:
            ramp.take()
            count += 1
        ramp.hear(heartbeat("w", active=count, late_ms=late_ms, capacity=400), BEAT_S, 0)
    return count


def test_a_cold_worker_is_filled_evenly_in_the_time_of_the_ramp() -> None:
    ramp = Ramp.of(heartbeat("w", capacity=400), Pace(ramp_s=8))
    assert opened_in(ramp, BEAT_S) == 50  # a second of it at once
    assert 48 <= opened_in(ramp, 1) <= 50
    assert 298 <= opened_in(ramp, 6) <= 302


def test_a_small_worker_takes_a_handful_at_once() -> None:
    ramp = Ramp.of(heartbeat("w", capacity=2), Pace(ramp_s=8))
    assert ramp.rate == ramp.turns == SLOWEST_FULL


def test_one_that_answers_late_is_given_fewer_and_then_as_many_again() -> None:
    ramp = Ramp.of(heartbeat("w", capacity=400), Pace(ramp_s=8, budget_ms=200))
    assert opened_in(ramp, 2, late_ms=90) > 90  # calm
    before = ramp.rate
    opened_in(ramp, 2, late_ms=150)
    assert ramp.rate < before / 4
    assert not ramp.overloaded
    opened_in(ramp, 60, late_ms=150)
    assert ramp.rate == before * LEAST
    opened_in(ramp, 6, late_ms=90)
    assert ramp.rate == before


def test_beyond_the_budget_it_is_overloaded_until_it_has_caught_up_or_has_no_streams_left() -> None:
    ramp = Ramp.of(heartbeat("w", capacity=400), Pace(budget_ms=200))
    for active, late_ms, overloaded in ((9, 201, True), (9, 200, False), (9, 900, True), (0, 900, False)):
        ramp.hear(heartbeat("w", active=active, late_ms=late_ms), BEAT_S, 0)
        assert ramp.overloaded is overloaded


def test_without_a_pace_there_is_no_wait_and_no_overload() -> None:
    ramp = Ramp.of(heartbeat("w", active=9, late_ms=9e9), Pace())
    for _ in range(1000):
        ramp.take()
    ramp.hear(heartbeat("w", active=9, late_ms=9e9), BEAT_S, 1000)
    assert ramp.turns == ramp.rate == math.inf
    assert not ramp.overloaded


def test_what_is_owed_is_bounded_so_nobody_waits_for_long() -> None:
    ramp = Ramp.of(heartbeat("w", capacity=400), Pace(ramp_s=8))
    for _ in range(1000):
        ramp.take()
    assert ramp.turns == -50
    ramp.hear(heartbeat("w", capacity=400), 0, 1000)
    assert ramp.turns == -50


@pytest.mark.parametrize("rate", [10, 30])
def test_a_thousand_who_are_sent_away_come_back_as_fast_as_they_can_be_let_in(rate: int) -> None:
    given = Appointments(random.Random(1))
    waits = [given.next_s(1000.0, rate) for _ in range(1000)]
    assert min(waits) > COME_BACK_FROM_S
    assert max(waits) <= COME_BACK_UNTIL_S
    a_second = Counter(math.floor(wait) for wait in waits)
    assert all(count <= rate + 1 for second, count in a_second.items() if second < COME_BACK_UNTIL_S / 2)
    # Those for whom there is no appointment within the minute come spread over its second half.
    assert max(a_second.values()) < 1000 / 10


def test_appointments_pass() -> None:
    given = Appointments()
    for now in (0.0, 100.0):
        assert given.next_s(now, 10) == pytest.approx(COME_BACK_FROM_S + 0.1)
    assert given.next_s(100.0, math.inf) > COME_BACK_FROM_S + 0.1
