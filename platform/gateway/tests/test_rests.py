from __future__ import annotations

from gateway.rests import WITHIN, Rests

S = 16_000


def test_the_beginning_is_a_pause() -> None:
    assert Rests().before(0) == 0
    assert Rests(5 * S).before(6 * S) == 5 * S


def test_in_a_pause_it_is_there_and_after_one_at_its_end() -> None:
    rests = Rests()
    rests.note(3 * S, 0)  # nobody spoke yet
    rests.note(8 * S, 7 * S)  # a final ended at 7 s, and it was quiet at 8 s
    rests.note(9 * S, 7 * S)
    assert [rests.before(at * S) // S for at in (1, 3, 5, 8, 9, 12)] == [1, 3, 3, 8, 9, 9]


def test_where_pauses_are_rare_it_is_anywhere() -> None:
    rests = Rests()
    assert rests.before(WITHIN) == 0
    assert rests.before(WITHIN + 1) == WITHIN + 1


def test_a_pause_never_becomes_shorter() -> None:
    rests = Rests()
    rests.note(3 * S, 0)
    rests.note(2 * S, 0)
    assert rests.before(4 * S) == 3 * S


def test_those_before_what_is_kept_are_forgotten() -> None:
    rests = Rests()
    for second in range(10, 1000, 10):
        rests.note(second * S, (second - 1) * S)
        rests.forget_before(rests.before(second * S - 15 * S))
        assert len(rests._rests) < 5
    assert rests.before(980 * S) == 980 * S
