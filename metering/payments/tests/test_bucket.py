from __future__ import annotations

import pytest

from metering.payments.bucket import Bucket


class Time:
    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def time() -> Time:
    return Time()


def test_turns_are_given_out_at_the_rate(time: Time) -> None:
    bucket = Bucket(4, clock=lambda: time.now, sleep=time.sleep)
    for _ in range(5):
        bucket.take()
    assert time.slept == [0.25] * 4


def test_nothing_is_saved_up(time: Time) -> None:
    bucket = Bucket(4, clock=lambda: time.now, sleep=time.sleep)
    time.now += 60
    bucket.take()
    bucket.take()
    assert time.slept == [0.25]


def test_a_pause_holds_for_all(time: Time) -> None:
    bucket = Bucket(4, clock=lambda: time.now, sleep=time.sleep)
    bucket.pause(7)
    bucket.take()
    assert time.slept == [7]
