from __future__ import annotations

import random

import pytest

from faults.pauses import pause_s


@pytest.mark.parametrize(
    ("tries", "chance", "expected"),
    [(1, 0.0, 1), (1, 1.0, 2), (2, 1.0, 4), (3, 0.5, 4.5), (4, 1.0, 10), (4, 0.0, 1), (10**9, 1.0, 10)],
)
def test_the_bound_doubles_and_the_chance_is_whole(tries: int, chance: float, expected: float) -> None:
    assert pause_s(tries, first_s=1, longest_s=10, chance=chance) == expected


def test_those_who_fail_together_do_not_come_back_together() -> None:
    random.seed(7)
    pauses = [pause_s(5, first_s=1, longest_s=30) for _ in range(1000)]
    assert all(1 <= pause <= 30 for pause in pauses)
    # Spread over all of it: none of ten equal parts of the time has more than twice its share.
    for part in range(10):
        assert 50 < sum(1 + part * 2.9 <= pause < 3.9 + part * 2.9 for pause in pauses) < 200
