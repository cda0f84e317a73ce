from __future__ import annotations

from random import Random

from stenogate.patience import FIRST_S, LONGEST_S, MAX_IN_VAIN, Patience


class Limit(Random):
    """Draws the longest pause that may be drawn."""

    def uniform(self, a: float, b: float) -> float:
        assert a == 0
        return b


def test_pauses_grow_to_a_limit_and_are_drawn_from_all_of_it() -> None:
    patience = Patience(Limit())
    pauses = [patience.pause_s(0.0, 1000.0, None) for _ in range(8)]
    assert pauses == [0.5, 1, 2, 4, 8, LONGEST_S, LONGEST_S, LONGEST_S]
    drawn = [Patience(Random(seed)).pause_s(0.0, 60.0, None) or 0.0 for seed in range(200)]
    assert min(drawn) < FIRST_S / 10
    assert max(drawn) > FIRST_S * 9 / 10


def test_what_the_server_asks_for_is_the_least() -> None:
    assert Patience(Limit()).pause_s(0.0, 60.0, 6.0) == 6.0 + FIRST_S


def test_time_counts_from_when_the_connection_was_lost() -> None:
    patience = Patience(Limit())
    assert patience.pause_s(100.0, 60.0, None)
    assert patience.pause_s(158.0, 60.0, None)
    assert patience.pause_s(159.0, 60.0, None) is None
    patience.connected()
    assert patience.pause_s(159.0, 60.0, None)


def test_connections_count_until_one_was_of_use() -> None:
    patience = Patience(Limit())
    for _ in range(MAX_IN_VAIN - 1):
        patience.connected()
        assert patience.pause_s(0.0, 1000.0, None)
    patience.connected()
    assert patience.pause_s(0.0, 1000.0, None) is None
    patience.got_further()
    assert patience.pause_s(0.0, 1000.0, None) == FIRST_S
