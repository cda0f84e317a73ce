from __future__ import annotations

import random

from inference_worker.breaker import FIRST_PROBE_S, GIVES_UP_AFTER, LONGEST_PROBE_S, OPENS_AFTER, Breaker


def opened(seed: int = 7) -> Breaker:
    breaker = Breaker(chance=random.Random(seed).random)
    assert [breaker.failed(100.0) for _ in range(OPENS_AFTER)] == [False] * (OPENS_AFTER - 1) + [True]
    return breaker


def test_it_opens_after_failures_in_a_row_only() -> None:
    breaker = Breaker()
    for _ in range(10):
        for _ in range(OPENS_AFTER - 1):
            assert not breaker.failed(1.0)
        breaker.worked()
    assert not breaker.open
    assert opened().open


def test_probes_come_at_growing_intervals_with_chance_in_them() -> None:
    waits = []
    for seed in range(20):
        breaker, now, one = opened(seed), 100.0, []
        for _ in range(GIVES_UP_AFTER - 1):
            one.append(breaker.retry_at - now)
            now = breaker.retry_at
            breaker.failed(now)
        waits.append(one)
    for number, at_this_place in enumerate(zip(*waits, strict=True)):
        longest = min(LONGEST_PROBE_S, FIRST_PROBE_S * 2**number)
        assert longest / 2 <= min(at_this_place) < max(at_this_place) <= longest
    assert len({tuple(one) for one in waits}) == 20


def test_half_open_it_opens_at_one_failure_and_waits_longer_than_before() -> None:
    breaker = Breaker(first_pause_s=1.0)
    for _ in range(OPENS_AFTER):
        breaker.failed(0.0)
    assert breaker.retry_at <= 1.0
    breaker.probe_worked()
    assert not breaker.open
    assert breaker.failed(10.0)
    assert 11.0 <= breaker.retry_at <= 12.0


def test_a_step_that_works_closes_it_and_forgets() -> None:
    breaker = opened()
    breaker.probe_worked()
    breaker.worked()
    assert not breaker.failed(0.0)
    assert not breaker.open
    again = [breaker.failed(0.0) for _ in range(OPENS_AFTER - 1)]
    assert again[-1]
    assert breaker.retry_at <= FIRST_PROBE_S


def test_an_engine_that_never_works_again_is_given_up() -> None:
    breaker = opened()
    probes = 0
    while not breaker.hopeless:
        breaker.failed(breaker.retry_at)
        probes += 1
    assert probes == GIVES_UP_AFTER
