"""Several lanes in one session: two channels, each with its own speaker."""

from __future__ import annotations

import pytest

from gateway.errors import EngineFailed
from gateway.events import (
    Close,
    CloseStream,
    Finalize,
    SpeechBegan,
    Summary,
    Transcript,
    UtteranceEnd,
)
from gateway.lane import MOST_AHEAD, REPLAY_AHEAD, Lane
from gateway.rests import WITHIN as REST_WITHIN
from gateway.session import Features, Session
from gateway.tests.driving import LIMITS, said, words
from gateway.tests.hearer import CHUNK, SECOND, hear, lane_with, move, seconds
from gateway.tests.hearer import final as hear_final
from wire.messages import (
    SAMPLE_RATE,
    Abort,
    Audio,
    End,
    Ended,
    Final,
    Flush,
    Flushed,
    Partial,
    Progress,
    SpeechStarted,
)

LEFT, RIGHT = b"\x01\x00" * 16_000, b"\x02\x00" * 16_000


def two_channels(utterance_end_ms: int | None = None) -> Session:
    features = Features(interim_results=True, vad_events=True, utterance_end_ms=utterance_end_ms)
    lanes = (Lane("s.0", 0), Lane("s.1", 1))
    return Session(lanes=lanes, limits=LIMITS, features=features, now=0.0)


def final(lane: int, index: int, text: str = "hi") -> Final:
    return Final(stream=f"s.{lane}", epoch=1, index=index, start_ms=0, end_ms=500, words=words(text))


def partial(lane: int, text: str) -> Partial:
    return Partial(stream=f"s.{lane}", epoch=1, start_ms=0, end_ms=500, words=words(text))


def transcripts(s: Session) -> list[Transcript]:
    return [message for message in said(s) if isinstance(message, Transcript)]


def test_each_channel_goes_to_its_own_lane() -> None:
    s = two_channels()
    s.receive_audio((LEFT, RIGHT), 1000)
    for lane, pcm in zip(s.lanes, (LEFT, RIGHT), strict=True):
        items = lane.items_to_send()
        assert {item.stream for item in items} == {lane.name}
        assert b"".join(item.pcm for item in items if isinstance(item, Audio)) == pcm
        assert lane.items_to_send() == []


def test_finals_have_one_seq_over_all_channels() -> None:
    s = two_channels()
    for lane, index in ((1, 0), (0, 0), (1, 1), (0, 1)):
        s.receive_from_worker(final(lane, index))
    assert [(t.seq, t.channel) for t in transcripts(s)] == [(0, 1), (1, 0), (2, 1), (3, 0)]


def test_a_partial_makes_only_its_own_channels_partial_stale() -> None:
    s = two_channels()
    s.receive_from_worker(partial(0, "left"))
    s.receive_from_worker(partial(1, "right"))
    s.receive_from_worker(partial(0, "left again"))
    assert [(t.channel, len(t.words)) for t in transcripts(s)] == [(1, 1), (0, 2)]
    s.receive_from_worker(partial(0, "left"))
    s.receive_from_worker(partial(1, "right"))
    s.receive_from_worker(final(0, 0, "left"))
    assert [(t.channel, t.is_final) for t in transcripts(s)] == [(1, False), (0, True)]


def test_finalize_is_answered_by_every_channel() -> None:
    s = two_channels()
    s.receive(Finalize(), 0)
    assert [lane.items_to_send() for lane in s.lanes] == [
        [Flush(stream="s.0", epoch=1, token=1)],
        [Flush(stream="s.1", epoch=1, token=1)],
    ]
    s.receive_from_worker(final(0, 0))
    for lane in (0, 1):
        s.receive_from_worker(Flushed(stream=f"s.{lane}", epoch=1, token=1))
    assert [(t.channel, len(t.words), t.from_finalize) for t in transcripts(s)] == [
        (0, 1, True),
        (1, 0, True),
    ]


def test_the_stream_ends_when_every_channel_has_and_each_is_billed() -> None:
    s = two_channels()
    s.receive_audio((LEFT, RIGHT), 1000)
    s.receive(CloseStream(), 0)
    assert [lane.items_to_send()[-1] for lane in s.lanes] == [
        End(stream="s.0", epoch=1, input_ms=1000),
        End(stream="s.1", epoch=1, input_ms=1000),
    ]
    s.receive_from_worker(Ended(stream="s.1", epoch=1, processed=16_000))
    assert s.close_to_send is None
    s.receive_from_worker(Ended(stream="s.0", epoch=1, processed=16_000))
    assert s.close_to_send == Close(1000)
    summary = said(s)[-1]
    assert isinstance(summary, Summary)
    assert (summary.audio_ms, summary.billed_ms) == (1000, 2000)
    usage = [(part.lane, part.from_ms, part.to_ms) for part in s.usage_to_record()]
    assert sorted(usage) == [("s.0", 0, 1000), ("s.1", 0, 1000)]


def test_a_stream_that_fails_frees_every_channel() -> None:
    s = two_channels()
    s.receive_audio((LEFT, RIGHT), 1000)
    s.lanes[1].items_to_send()
    s.fail(EngineFailed())
    for lane in s.lanes:
        assert lane.items_to_send() == [Abort(stream=lane.name, epoch=1, processed=0)]
        assert lane.items_to_send() == []
    assert s.close_to_send == Close(4500, "engine_failed")


def test_the_window_is_full_when_one_channel_is_behind() -> None:
    s = two_channels()
    s.receive_audio((LEFT * 20, RIGHT * 20), 20_000)
    s.receive_from_worker(Progress(stream="s.0", epoch=1, processed=20 * 16_000, confirmed=0))
    assert s.window_full
    s.receive_from_worker(Progress(stream="s.1", epoch=1, processed=20 * 16_000, confirmed=0))
    assert not s.window_full


def test_speech_and_pauses_are_told_of_each_channel_if_asked_for() -> None:
    s = two_channels(utterance_end_ms=1000)
    s.receive_audio((LEFT * 10, RIGHT * 10), 10_000)
    s.receive_from_worker(SpeechStarted(stream="s.1", epoch=1, at_ms=120))
    s.receive_from_worker(final(1, 0))
    for second in range(1, 4):
        s.receive_from_worker(
            Progress(stream="s.1", epoch=1, processed=second * 16_000, confirmed=0, speech_end=1600)
        )
    events = [message for message in said(s) if not isinstance(message, Transcript)]
    assert events == [SpeechBegan(120, 1), UtteranceEnd(90, 1)]


def test_nobody_who_did_not_ask_is_told_of_speech() -> None:
    s = Session(lanes=(Lane("s.1"),), limits=LIMITS, features=Features(), now=0.0)
    s.receive_audio((LEFT * 10,), 10_000)
    s.receive_from_worker(SpeechStarted(stream="s.1", epoch=1, at_ms=120))
    s.receive_from_worker(final(1, 0))
    s.receive_from_worker(Progress(stream="s.1", epoch=1, processed=160_000, confirmed=0))
    assert [type(message) for message in said(s)] == [Transcript]


def test_what_a_resampler_rounds_up_is_held_back_until_the_end_and_billed_by_nobody() -> None:
    lane = Lane("s")
    lane.send_audio(b"\x01\x00" * 170, 9)  # 10.6 ms of samples of 9 ms of audio
    assert lane.sent == 159
    lane.send_audio(b"\x02\x00" * 16, 10)
    assert lane.sent == 175
    lane.send_audio(b"\x03\x00" * 2, 10)
    lane.end(10)
    *audio, end = lane.items_to_send()
    assert b"".join(item.pcm for item in audio if isinstance(item, Audio)) == (
        b"\x01\x00" * 170 + b"\x02\x00" * 16 + b"\x03\x00" * 2
    )
    assert [item.position for item in audio if isinstance(item, Audio)] == [0]
    assert end == End(stream="s", epoch=1, input_ms=10)


def test_what_the_client_sent_is_billed_once_the_worker_has_ended_the_stream() -> None:
    lane = Lane("s")
    lane.send_audio(b"\x01\x00" * 1590, 100)  # resampled from 100 ms, some of it held back
    lane.end(100)
    lane.progress(1590)
    assert lane.processed_ms == 99  # the worker may not have heard that this was all
    lane.complete(Ended(stream="s", epoch=1, processed=1590))
    assert lane.processed_ms == 100


def test_a_worker_that_ends_too_early_is_paid_for_what_it_did() -> None:
    lane = Lane("s")
    lane.send_audio(b"\x01\x00" * 1600, 100)
    lane.end(100)
    lane.complete(Ended(stream="s", epoch=1, processed=800))
    assert lane.processed_ms == 50


def test_a_stream_that_is_broken_off_says_how_far_it_had_heard() -> None:
    lane = Lane("s")
    lane.send_audio(b"\x01\x00" * 1600, 100)
    lane.progress(810)
    lane.abort()
    assert lane.items_to_send()[-1] == Abort(stream="s", epoch=1, processed=810)
    assert lane.processed_ms == 50


# ---- where a replay begins


@pytest.mark.parametrize(
    ("confirmed_s", "lead_s", "start_s"),
    [(0, 10, 0), (8, 10, 0), (30, 10, 20), (30, 0, 30), (30, 3600, 0), (30.05, 10, 20.0)],
)
def test_it_begins_a_lead_before_what_is_not_confirmed(
    confirmed_s: float, lead_s: float, start_s: float
) -> None:
    lane = lane_with(40, lead_s)
    confirmed = int(confirmed_s * SAMPLE_RATE)
    lane.progress(confirmed, confirmed)
    assert seconds(lane.replay_from) == start_s
    assert lane.replay_from % CHUNK == 0


def test_it_begins_in_the_last_pause_before_the_lead() -> None:
    lane = lane_with(60)
    hear_final(lane, 0, "one two", 2.0)
    lane.progress(5 * SAMPLE_RATE, 5 * SAMPLE_RATE)  # quiet from here
    lane.progress(7 * SAMPLE_RATE, 7 * SAMPLE_RATE)  # to here
    lane.progress(20 * SAMPLE_RATE, 7 * SAMPLE_RATE)
    hear_final(lane, 1, "three four", 7.5, speech_final=False)  # and speech without a pause from here on
    lane.progress(21 * SAMPLE_RATE, 20 * SAMPLE_RATE)
    assert seconds(lane.replay_from) == 7.0
    hear_final(lane, 2, "five", 20.0, speech_final=False)
    lane.progress(26 * SAMPLE_RATE, 26 * SAMPLE_RATE)
    assert seconds(lane.replay_from) == 7.0
    hear_final(lane, 3, "six", 26.0, speech_final=False)
    late = 7 * SAMPLE_RATE + REST_WITHIN + 10 * SAMPLE_RATE + CHUNK
    lane.progress(late, late)  # who never pauses is cut anywhere in the end
    assert lane.replay_from == late - 10 * SAMPLE_RATE


def test_chunks_are_counted_from_the_last_flush_and_from_where_a_worker_began() -> None:
    lane = lane_with(1)
    lane.send_audio(b"\x01\x00" * 100, 1007)
    lane.flush()
    hear(lane, 39)
    lane.flushed(Flushed(stream="s", epoch=1, token=1))
    lane.progress(30 * SAMPLE_RATE, 30 * SAMPLE_RATE)
    flushed_at = SAMPLE_RATE + 100
    assert (lane.replay_from - flushed_at) % CHUNK == 0
    start = lane.replay_from
    lane.go_on(2, start, 2000)  # a worker of another kind
    lane.items_to_send()
    lane.progress(40 * SAMPLE_RATE, 40 * SAMPLE_RATE)
    assert lane.replay_from > start
    assert (lane.replay_from - start) % 2000 == 0


def test_a_new_speech_has_no_past() -> None:
    lane = lane_with(20)
    lane.progress(20 * SAMPLE_RATE, 20 * SAMPLE_RATE)
    lane.start_over()
    assert lane.replay_from == lane.sent == 20 * SAMPLE_RATE
    assert move(lane) == 20 * SAMPLE_RATE
    hear(lane, 1)
    (audio,) = lane.items_to_send()
    assert isinstance(audio, Audio)
    assert (audio.position, audio.pcm) == (20 * SAMPLE_RATE, SECOND)


# ---- what a new worker is given


def test_it_is_given_all_from_there_on_and_no_more_than_it_can_use_soon() -> None:
    lane = lane_with(40)
    lane.progress(40 * SAMPLE_RATE, 30 * SAMPLE_RATE)
    start = move(lane)
    assert seconds(start) == 20.0
    assert lane.catching_up
    given = lane.items_to_send()
    assert {item.epoch for item in given} == {2}
    assert sum(len(item.pcm) for item in given if isinstance(item, Audio)) == REPLAY_AHEAD * 2
    assert lane.items_to_send() == []
    lane.progress(start + SAMPLE_RATE)
    assert sum(len(item.pcm) for item in lane.items_to_send() if isinstance(item, Audio)) == SAMPLE_RATE * 2
    hear(lane, 3)
    lane.progress(40 * SAMPLE_RATE)
    assert not lane.catching_up
    rest = [item for item in lane.items_to_send() if isinstance(item, Audio)]
    assert rest[0].position == start + REPLAY_AHEAD + SAMPLE_RATE
    assert rest[-1].position + len(rest[-1].pcm) // 2 == lane.sent == 43 * SAMPLE_RATE


def test_a_worker_is_sent_no_more_than_it_can_hold() -> None:
    """However much the window lets a client send."""
    lane = lane_with(0)
    hear(lane, 70)
    given = lane.items_to_send()
    assert sum(len(item.pcm) for item in given if isinstance(item, Audio)) == MOST_AHEAD * 2
    lane.end(lane.input_ms)
    lane.progress(30 * SAMPLE_RATE)
    *given, last = lane.items_to_send()
    assert isinstance(last, End)
    assert isinstance(given[-1], Audio)
    assert given[-1].position + len(given[-1].pcm) // 2 == 70 * SAMPLE_RATE


def test_an_answer_without_words_is_not_the_last_that_was_said() -> None:
    """To whoever comes back: a word may have begun before it."""
    lane = lane_with(3)
    (said,) = hear_final(lane, 0, "one two", 0.5)
    lane.flush()
    lane.progress(3 * SAMPLE_RATE)
    (answer,) = lane.flushed(Flushed(stream="s", epoch=1, token=1))
    lane.tell(said)
    lane.tell(answer)
    assert answer.end_ms > said.end_ms
    assert (lane.mark().told_ms, lane.mark().paused) == (said.end_ms, True)


def test_flushes_are_made_again_where_they_were_and_answered_once() -> None:
    lane = lane_with(2)
    lane.flush()
    hear(lane, 1)
    lane.flush()
    assert [item.token for item in lane.items_to_send() if isinstance(item, Flush)] == [1, 2]
    lane.progress(2 * SAMPLE_RATE, 2 * SAMPLE_RATE)
    assert len(lane.flushed(Flushed(stream="s", epoch=1, token=1))) == 1
    move(lane)
    given = lane.items_to_send()
    at = [sum(len(i.pcm) for i in given[:n] if isinstance(i, Audio)) for n, i in enumerate(given)
          if isinstance(i, Flush)]  # fmt: skip
    assert at == [4 * SAMPLE_RATE, 6 * SAMPLE_RATE]
    assert lane.flushed(Flushed(stream="s", epoch=2, token=1)) == []
    (said,) = lane.flushed(Flushed(stream="s", epoch=2, token=2))
    assert said.from_finalize
    assert not lane.flushing


def test_a_flush_that_was_answered_where_it_begins_is_not_made_again() -> None:
    lane = lane_with(2, lead_s=0)
    lane.flush()
    lane.items_to_send()
    lane.progress(2 * SAMPLE_RATE, 2 * SAMPLE_RATE)
    lane.flushed(Flushed(stream="s", epoch=1, token=1))
    assert move(lane) == 2 * SAMPLE_RATE
    assert lane.items_to_send() == []
    lane.flush()
    assert lane.items_to_send() == [Flush(stream="s", epoch=2, token=2)]


def test_the_end_is_said_again() -> None:
    lane = lane_with(2)
    lane.end(2000)
    assert isinstance(lane.items_to_send()[-1], End)
    move(lane)
    assert lane.items_to_send()[-1] == End(stream="s", epoch=2, input_ms=2000)
    assert lane.items_to_send() == []


def test_the_end_waits_until_all_before_it_may_be_sent() -> None:
    lane = lane_with(10, lead_s=3600)
    lane.progress(9 * SAMPLE_RATE)
    lane.end(10_000)
    lane.items_to_send()
    move(lane)
    assert not any(isinstance(item, End) for item in lane.items_to_send())
    lane.progress(9 * SAMPLE_RATE)
    assert isinstance(lane.items_to_send()[-1], End)


def test_what_a_worker_is_asked_to_begin_with_is_kept_until_it_has_answered() -> None:
    lane = lane_with(60)
    lane.progress(40 * SAMPLE_RATE, 40 * SAMPLE_RATE)
    start = lane.pin()
    lane.progress(60 * SAMPLE_RATE, 60 * SAMPLE_RATE)  # by the one that has it
    lane.go_on(2, start, CHUNK)
    lane.progress(start + CHUNK, start)
    (audio, *_) = lane.items_to_send()
    assert isinstance(audio, Audio)
    assert (audio.position, len(audio.pcm)) == (start, 32_000)
    lane.pin()
    lane.stay()
    lane.progress(60 * SAMPLE_RATE, 60 * SAMPLE_RATE)
    lane.items_to_send()
    lane.progress(60 * SAMPLE_RATE, 60 * SAMPLE_RATE)
    assert lane.pin() > start
