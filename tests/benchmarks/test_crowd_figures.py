from __future__ import annotations

import pytest

from tests.benchmarks.crowd import PACKET_BYTES, PACKET_MS, Crowd, Talk, Told, Voice
from tests.benchmarks.crowd_figures import answers, drift, figures, first_words

CHUNK_MS = 160
TALK = Talk(bytes(PACKET_BYTES * 250), (1.0, 4.0, 7.0))  # ten seconds


def voice(*told: Told, seconds: float = 10.0, first: int = 0) -> Voice:
    """Every packet was sent when its last sample was spoken, by a clock that began with 100."""
    packets = int(seconds * 1000 / PACKET_MS)
    sent = [100 + (number + 1) * PACKET_MS / 1000 for number in range(packets)]
    return Voice(first, sent, list(told), processed_s=seconds, ended=100 + seconds + PACKET_MS / 1000)


def test_a_chunk_is_answered_by_the_first_partial_that_reaches_into_it() -> None:
    heard = voice(
        Told(101.65, False, 1.60),  # of the tenth chunk, complete at 1.6 s
        Told(101.70, False, 1.60),  # says it again
        Told(101.80, False, 1.65),  # of the eleventh, complete at 1.76 s
        Told(101.90, True, 1.90),  # finals answer no chunk: they come after a pause
    )
    assert sum(answers(heard, CHUNK_MS), ()) == pytest.approx((1.60, 0.05, 1.76, 0.04))


def test_a_chunk_that_is_no_whole_number_of_packets_is_complete_with_the_packet_that_holds_its_end() -> None:
    # 140 ms * 10 = 1.4 s is the end of packet 35; 140 * 11 = 1.54 s lies within packet 39.
    heard = voice(Told(101.45, False, 1.40), Told(101.60, False, 1.54))
    assert sum(answers(heard, 140), ()) == pytest.approx((1.40, 0.05, 1.54, 0.04))


def test_what_was_said_of_the_first_second_or_of_audio_that_ended_within_a_chunk_does_not_count() -> None:
    assert answers(voice(Told(100.9, False, 0.8)), CHUNK_MS) == []
    assert answers(voice(Told(110.1, False, 10.0), seconds=9.96), CHUNK_MS) == []


def test_the_first_partial_of_an_utterance_is_waited_for_from_the_packet_it_begins_in() -> None:
    heard = voice(
        Told(101.0, True, 0.9),  # of what was before
        Told(101.44, False, 1.2),
        Told(101.60, False, 1.4),
        Told(105.0, True, 4.9),  # a final that comes without a partial shows words, too
    )
    found = first_words(heard, TALK, CHUNK_MS)
    assert found.since_speech == [pytest.approx(0.40), pytest.approx(0.96)]
    assert found.not_shown == 1  # the third


def test_the_time_to_first_token_is_waited_for_from_the_chunk_that_brought_it() -> None:
    # It reaches into the eighth chunk, whose first sample is at 1.12 s, in the packet that left at 1.16.
    found = first_words(voice(Told(101.44, False, 1.28)), TALK, CHUNK_MS)
    assert found.since_chunk == [pytest.approx(0.28)]


def test_an_utterance_of_which_no_word_was_shown_is_counted_unless_it_was_cut_off() -> None:
    heard = Told(101.5, False, 1.4)
    assert first_words(voice(heard), TALK, CHUNK_MS).not_shown == 2
    assert first_words(voice(heard, seconds=8.0), TALK, CHUNK_MS).not_shown == 1


def test_a_talk_goes_round() -> None:
    assert TALK.starts_between(0, 250) == [1.0, 4.0, 7.0]
    assert TALK.starts_between(100, 250) == pytest.approx([0.0, 3.0, 7.0])
    assert TALK.starts_between(240, 300) == pytest.approx([1.4, 4.4, 7.4, 11.4])
    assert TALK.packet(251) == TALK.packet(1)


def test_drift_is_how_much_later_the_last_quarter_is_answered_than_the_first() -> None:
    told = [Told(100 + n * 0.16 + n * 0.01, False, n * 0.16) for n in range(10, 50)]
    assert drift(voice(*told), CHUNK_MS) == pytest.approx(0.30)
    assert drift(voice(), CHUNK_MS) is None


def test_figures_are_of_all_voices_and_say_what_went_wrong() -> None:
    told = [Told(100 + n * 0.16 + 0.02, False, n * 0.16) for n in range(10, 50)]
    failed = Voice(0, error="NET-0001")
    found = figures(Crowd([voice(*told), voice(*told), failed], 12.34), TALK, CHUNK_MS)
    assert (found["streams"], found["chunks_answered"], found["errors"]) == (3, 80, 1)
    assert found["chunk_to_result_p95_ms"] == pytest.approx(20.0)
    assert found["drift_p99_ms"] == pytest.approx(0.0, abs=0.1)
    assert found["times_real_time"] == pytest.approx(2.0)
    assert found["error_kinds"] == ["NET-0001"]


def test_a_crowd_that_heard_nothing_has_no_percentiles() -> None:
    found = figures(Crowd([Voice(0, error="HTTP/1.1 503")], 0.0), TALK, CHUNK_MS)
    assert found["chunk_to_result_p95_ms"] is None
    assert found["times_real_time"] == 0.0
