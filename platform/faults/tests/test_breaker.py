from __future__ import annotations

from faults.breaker import OPENS_AFTER, TRIAL_S, Breaker


def opened(**settings: float) -> Breaker:
    breaker = Breaker(chance=lambda: 1.0, **settings)  # type: ignore[arg-type]
    assert [breaker.failed(100.0) for _ in range(OPENS_AFTER)] == [False] * (OPENS_AFTER - 1) + [True]
    return breaker


def test_closed_it_lets_everybody_through_and_only_failures_in_a_row_open_it() -> None:
    breaker = Breaker()
    for _ in range(10):
        for _ in range(OPENS_AFTER - 1):
            assert breaker.wait_s(0.0) == 0
            assert not breaker.failed(0.0)
        breaker.worked()
    assert not breaker.open


def test_open_it_lets_nobody_through_until_the_pause_is_over_and_then_one() -> None:
    breaker = opened(first_pause_s=4.0)
    assert breaker.wait_s(100.0) == 4
    assert breaker.wait_s(103.0) == 1
    assert breaker.resting(103.9)
    assert not breaker.resting(104.0)
    assert breaker.wait_s(104.0) == 0
    assert breaker.open
    assert breaker.resting(104.0)
    assert breaker.wait_s(104.0) == TRIAL_S


def test_a_trial_that_works_closes_it_and_one_that_fails_makes_the_next_pause_longer_up_to_a_bound() -> None:
    breaker, now, pauses = opened(first_pause_s=1.0, longest_pause_s=5.0), 100.0, []
    for _ in range(6):
        pauses.append(breaker.wait_s(now))
        now += pauses[-1]
        assert breaker.wait_s(now) == 0
        assert not breaker.failed(now)  # it was open already
    assert pauses == [1, 2, 4, 5, 5, 5]
    breaker.worked()
    assert breaker.wait_s(now) == 0
    assert breaker.wait_s(now) == 0
    assert not breaker.failed(now)


def test_who_tries_and_is_never_heard_of_again_does_not_keep_it_open() -> None:
    breaker = opened()
    assert breaker.wait_s(200.0) == 0
    assert breaker.wait_s(200.0 + TRIAL_S) == 0


def test_when_who_tries_has_gone_another_one_tries() -> None:
    breaker = opened()
    assert breaker.wait_s(200.0) == 0
    breaker.left()
    assert breaker.wait_s(200.0) == 0
    assert breaker.wait_s(200.0) == TRIAL_S


def test_the_pauses_of_two_are_not_the_same_and_never_less_than_half() -> None:
    pauses = set()
    for _ in range(50):
        breaker = Breaker(first_pause_s=2.0)
        for _ in range(OPENS_AFTER):
            breaker.failed(0.0)
        pauses.add(breaker.wait_s(0.0))
    assert len(pauses) == 50
    assert min(pauses) >= 1
    assert max(pauses) <= 2


def test_the_many_who_asked_before_it_opened_make_the_pause_no_longer() -> None:
    breaker = opened(first_pause_s=4.0)
    for _ in range(1000):
        assert not breaker.failed(101.0)
    assert breaker.wait_s(101.0) == 3
