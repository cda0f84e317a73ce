from __future__ import annotations

import itertools
from collections.abc import Iterable

from hypothesis import example, given
from hypothesis import strategies as st

from inference_worker.engines.endpointing import (
    LEAST_SPEECH_WINDOWS,
    LONGEST,
    POST_ROLL,
    PRE_ROLL,
    Endpointer,
    Piece,
    pause_samples,
)
from wire.messages import SAMPLE_RATE

WINDOW = 512
HALF_SECOND = SAMPLE_RATE // 2


def seconds(speech: bool, length: float) -> list[float]:
    return [0.9 if speech else 0.05] * round(length * SAMPLE_RATE / WINDOW)


def feed(endpointer: Endpointer, chances: Iterable[float]) -> tuple[list[Piece], list[int]]:
    pieces: list[Piece] = []
    starts = []
    for chance in chances:
        new, started = endpointer.feed(endpointer.position + WINDOW, chance, chance)
        pieces += new
        starts += [] if started is None else [started]
    return pieces, starts


def test_an_utterance_has_a_little_before_it_and_a_little_after() -> None:
    endpointer = Endpointer(HALF_SECOND, 0)
    pieces, starts = feed(endpointer, seconds(False, 2) + seconds(True, 1) + seconds(False, 1))
    (piece,), (start,) = pieces, starts
    assert abs(start - 2 * SAMPLE_RATE) < WINDOW
    assert piece.begin == start - PRE_ROLL
    assert abs(piece.end - (3 * SAMPLE_RATE + POST_ROLL)) < WINDOW
    assert piece.speech_final
    assert piece.worth_hearing


def test_silence_costs_nothing_and_is_let_go() -> None:
    endpointer = Endpointer(HALF_SECOND, 0)
    assert feed(endpointer, seconds(False, 60)) == ([], [])
    assert endpointer.position - endpointer.needed_from < SAMPLE_RATE // 2
    assert len(endpointer._windows) < 20


def test_a_pause_shorter_than_asked_for_does_not_end_the_utterance() -> None:
    speech = seconds(True, 1) + seconds(False, 0.4) + seconds(True, 1) + seconds(False, 3)
    assert len(feed(Endpointer(HALF_SECOND, 0), speech)[0]) == 1
    assert len(feed(Endpointer(pause_samples(300), 0), speech)[0]) == 2


def test_it_ends_when_the_pause_is_long_enough_and_not_before() -> None:
    for pause_ms in (200, 500, 1000):
        pause = pause_samples(pause_ms)
        assert pause is not None
        endpointer = Endpointer(pause, 0)
        feed(endpointer, seconds(True, 1))
        silence = 0
        while not feed(endpointer, [0.0])[0]:
            silence += WINDOW
        assert pause - WINDOW <= silence <= pause


def test_never_by_pause_means_that_no_pause_ends_an_utterance() -> None:
    endpointer = Endpointer(pause_samples(0), 0)
    pieces, _ = feed(
        endpointer, seconds(True, 1) + seconds(False, 1.5) + seconds(True, 1) + seconds(False, 5)
    )
    assert [piece.speech_final for piece in pieces] == [False, False]
    assert endpointer.flush(endpointer.position, last=True) == []


def test_a_second_of_silence_finishes_a_piece_and_the_pause_asked_for_the_utterance() -> None:
    endpointer = Endpointer(pause_samples(3000), 0)
    speech, silence = seconds(True, 1), seconds(False, 0.95)
    assert feed(endpointer, speech + silence)[0] == []
    (piece,), _ = feed(endpointer, seconds(False, 0.1))
    assert piece.worth_hearing
    assert not piece.speech_final
    assert feed(endpointer, seconds(False, 1.9))[0] == []
    (end,), _ = feed(endpointer, seconds(False, 0.2))
    assert (end.begin, end.end, end.speech_final, end.windows) == (piece.end, piece.end, True, ())
    assert feed(endpointer, seconds(False, 10))[0] == []


def test_a_pause_that_speech_or_a_flush_breaks_off_does_not_end_the_utterance() -> None:
    endpointer = Endpointer(pause_samples(3000), 0)
    pieces, _ = feed(endpointer, seconds(True, 1) + seconds(False, 2) + seconds(True, 1) + seconds(False, 2))
    assert [piece.speech_final for piece in pieces] == [False, False]
    assert endpointer.flush(endpointer.position) == []
    assert feed(endpointer, seconds(False, 5)) == ([], [])


def test_audio_that_ends_in_a_pause_ends_the_utterance() -> None:
    endpointer = Endpointer(pause_samples(3000), 0)
    feed(endpointer, seconds(True, 1) + seconds(False, 2))
    assert [piece.speech_final for piece in endpointer.flush(endpointer.position, last=True)] == [True]


def test_it_tells_where_the_last_speech_ended() -> None:
    endpointer = Endpointer(HALF_SECOND, 0)
    feed(endpointer, seconds(False, 1))
    assert (endpointer.heard_until, endpointer.speaking) == (0, False)
    feed(endpointer, [0.9] * 2 + seconds(False, 1))
    assert endpointer.heard_until == 0  # a click
    feed(endpointer, seconds(True, 1))
    end = endpointer.position
    assert (endpointer.heard_until, endpointer.speaking) == (None, True)
    feed(endpointer, seconds(False, 0.4))
    assert (endpointer.heard_until, endpointer.speaking) == (None, False)
    feed(endpointer, seconds(False, 0.2))
    assert (endpointer.heard_until, endpointer.speaking) == (end, False)
    feed(endpointer, [0.9] * 2 + seconds(False, 1))
    assert endpointer.heard_until == end


def test_a_flush_in_a_pause_closes_the_utterance_and_one_in_mid_speech_does_not() -> None:
    endpointer = Endpointer(HALF_SECOND, 0)
    feed(endpointer, seconds(True, 1))
    endpointer.flush(endpointer.position)
    assert endpointer.heard_until is None
    feed(endpointer, seconds(True, 1))
    end = endpointer.position
    feed(endpointer, seconds(False, 0.3))
    endpointer.flush(endpointer.position)
    assert endpointer.heard_until == end


def test_the_pause_is_known_before_it_is_over() -> None:
    endpointer = Endpointer(HALF_SECOND, 0)
    feed(endpointer, seconds(True, 1))
    assert endpointer.settled is None
    feed(endpointer, seconds(False, 0.25))
    settled = endpointer.settled
    assert settled is not None
    (piece,), _ = feed(endpointer, seconds(False, 0.5))
    assert (piece.begin, piece.end) == (settled.begin, settled.end)


def test_a_click_is_no_speech() -> None:
    endpointer = Endpointer(HALF_SECOND, 0)
    pieces, starts = feed(endpointer, [0.0] * 20 + [0.9] + [0.0] * 50)
    assert (pieces, starts) == ([], [])
    pieces, _ = feed(endpointer, [0.9] * (LEAST_SPEECH_WINDOWS - 1) + [0.0] * 50)
    assert [piece.worth_hearing for piece in pieces] == [False]


def test_a_long_utterance_is_cut_at_a_short_pause_once_speech_goes_on() -> None:
    endpointer = Endpointer(HALF_SECOND, 0)
    pieces, _ = feed(endpointer, seconds(True, 7) + seconds(False, 0.4))
    assert pieces == []
    (piece,), _ = feed(endpointer, seconds(True, 1))
    assert not piece.speech_final
    assert abs(piece.end - (7 * SAMPLE_RATE + POST_ROLL)) < 2 * WINDOW


def test_endless_speech_is_cut_where_it_is_quietest() -> None:
    endpointer = Endpointer(HALF_SECOND, 0)
    quiet = 8 * SAMPLE_RATE // WINDOW
    pieces: list[Piece] = []
    for number in range(60 * SAMPLE_RATE // WINDOW):
        level = -60.0 if number in range(quiet, quiet + 3) else -20.0
        pieces += endpointer.feed((number + 1) * WINDOW, 0.95, level)[0]
    assert abs(pieces[0].end - (quiet + 1.5) * WINDOW) <= WINDOW
    assert all(piece.end - piece.begin <= LONGEST for piece in pieces)
    assert all(a.end == b.begin for a, b in itertools.pairwise(pieces))


def test_a_flush_in_mid_speech_takes_all_and_the_rest_follows_without_a_gap() -> None:
    endpointer = Endpointer(HALF_SECOND, 0)
    feed(endpointer, seconds(True, 1))
    end = endpointer.position + 100
    (piece,) = endpointer.flush(end)
    assert (piece.end, piece.speech_final) == (end, False)
    pieces, starts = feed(endpointer, seconds(True, 1) + seconds(False, 1))
    assert [piece.begin for piece in pieces] == [end]
    assert starts == []


def test_a_flush_in_silence_has_nothing_to_say_and_nothing_before_it_is_used_again() -> None:
    endpointer = Endpointer(HALF_SECOND, 0)
    feed(endpointer, seconds(False, 1))
    assert endpointer.flush(endpointer.position) == []
    flushed = endpointer.position
    (piece,), _ = feed(endpointer, seconds(True, 1) + seconds(False, 1))
    assert piece.begin == flushed


def test_wishes_are_kept_within_what_makes_sense() -> None:
    assert pause_samples(None) == HALF_SECOND
    assert pause_samples(0) is None
    assert pause_samples(10) == SAMPLE_RATE // 5
    assert pause_samples(60_000) == 5 * SAMPLE_RATE


SOUNDS = st.lists(
    st.tuples(st.sampled_from([0.0, 0.2, 0.4, 0.45, 0.6, 0.99]), st.integers(1, 60)), max_size=60
)


@given(SOUNDS, st.sampled_from([None, 3200, HALF_SECOND, 80_000]), st.lists(st.integers(0, 2000)))
@example([(0.99, 40), (0.0, 60), (0.0, 60), (0.0, 60)], 80_000, [])
def test_pieces_never_overlap_and_what_may_be_needed_is_kept(
    sounds: list[tuple[float, int]], pause: int | None, flushes: list[int]
) -> None:
    start = 12_345
    endpointer = Endpointer(pause, start)
    pieces: list[Piece] = []
    needed = start
    for number, chance in enumerate(chance for chance, count in sounds for _ in range(count)):
        held = endpointer.needed_from
        new, started = endpointer.feed(endpointer.position + WINDOW, chance, chance)
        if number in flushes:
            new = [*new, *endpointer.flush(endpointer.position)]
        assert all(piece.begin <= piece.end <= endpointer.position for piece in new)
        # One that only says that the pause is over holds no audio, and may lie where that is gone.
        assert all(held <= piece.begin for piece in new if piece.begin < piece.end or not piece.speech_final)
        assert started is None or held <= started
        pieces += new
        assert endpointer.needed_from >= needed
        needed = endpointer.needed_from
        assert endpointer.begin is None or endpointer.position - endpointer.begin <= LONGEST + 6 * SAMPLE_RATE
    pieces += endpointer.flush(endpointer.position, last=True)
    assert all(a.end <= b.begin for a, b in itertools.pairwise(pieces))
    assert all(start <= piece.begin <= piece.end for piece in pieces)
    assert all(piece.begin < piece.end for piece in pieces if piece.windows or not piece.speech_final)
    assert endpointer.heard_until is None or endpointer.heard_until <= endpointer.position
