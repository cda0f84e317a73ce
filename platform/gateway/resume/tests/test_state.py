"""What is kept of a stream, written and read."""

from __future__ import annotations

import msgspec
import pytest

from gateway.resume import state
from gateway.resume.state import EPOCHS, MAX_GENERATION, Record, Stand
from gateway.resume.tests.marks import lane, mark, told


def test_what_was_written_is_read() -> None:
    finals = (told(0), told(1, "and you"))
    written = Record(Stand(mark(2, lane(start_ms=3), lane(start_ms=2)), 1), finals)
    read = state.record(state.encode(written.stand), map(state.encode, finals))
    assert read == written
    assert (read.mark.start_ms, read.mark.next_seq) == (2, 2)


def test_what_was_written_twice_is_there_once_and_in_order() -> None:
    twice = [told(3), told(4), told(3), told(5), told(4)]
    read = state.record(state.encode(Stand(mark(6), 0)), map(state.encode, twice))
    assert [final.seq for final in read.finals] == [3, 4, 5]


def test_how_far_it_is_says_no_word() -> None:
    assert b"hello" not in state.encode(Stand(mark(1), 1))


def test_the_last_words_are_those_of_the_channel() -> None:
    finals = (told(0, "one two"), told(1, "far away", channel=1), told(2, "three"))
    record = Record(Stand(mark(3, lane(), lane()), 0), finals)
    assert record.said(0) == ("one", "two", "three")
    assert record.said(1) == ("far", "away")


def test_where_the_last_final_is_not_known_its_words_are_not_guessed() -> None:
    """Those before it would be taken for the last ones, and the audio be cut in the wrong place."""
    assert Record(Stand(mark(3), 0), (told(0), told(1))).said(0) == ()
    assert Record(Stand(mark(3), 0)).said(0) == ()


def test_no_more_words_are_kept_than_are_needed() -> None:
    record = Record(Stand(mark(1), 0), (told(0, " ".join("abcdefghijklmnopqrstuvwxyz")),))
    assert record.said(0) == tuple("opqrstuvwxyz")


def test_an_epoch_fits_where_the_usage_record_keeps_it() -> None:
    assert (MAX_GENERATION + 1) * EPOCHS - 1 < 1 << 31


@pytest.mark.parametrize("raw", [b"", b"\xc1", b"\x90", state.encode([[0, []], 0])])
def test_what_is_no_stand_is_none(raw: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        state.record(raw, ())


def test_words_before_a_final_that_is_not_known_are_not_the_last_ones() -> None:
    finals = (told(1, "one"), told(2, "two"), told(4, "four"), told(5, "five"))
    record = Record(Stand(mark(6), 0), finals)
    assert record.said(0) == ("four", "five")
    assert record.said(1) == ()
