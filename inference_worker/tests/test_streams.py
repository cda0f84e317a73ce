from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_worker.engines.base import Row
from inference_worker.slots import Lease
from inference_worker.streams import MAX_FLUSHES, REMEMBERED_ARRIVALS, WINDOW_SAMPLES, Stream, StreamError
from wire.messages import StreamOptions

CHUNK = 100


def make(start: int = 0, *, recorded: bool = False, replay_until: int = 0) -> Stream:
    return Stream(
        id="s",
        epoch=1,
        gateway="g",
        tenant="acme",
        options=StreamOptions(recorded=recorded),
        start=start,
        replay_until=replay_until,
        lease=Lease(3, 1),
    )


def pcm(samples: int, value: int = 0) -> bytes:
    return np.full(samples, value, "<i2").tobytes()


def rows(stream: Stream, chunks: int = 1) -> list[Row]:
    """All rows that are ready, each flush answered at once."""
    taken = []
    while stream.ready(CHUNK):
        taken.append(stream.take(CHUNK, chunks))
        stream.tokens = ()
    return taken


def test_a_row_is_ready_when_its_chunk_is_complete() -> None:
    stream = make()
    stream.audio(0, pcm(99), 1.0)
    assert not stream.ready(CHUNK)
    stream.audio(99, pcm(2), 2.0)
    assert stream.ready(CHUNK)
    assert stream.since(CHUNK) == 2.0
    row = stream.take(CHUNK)
    assert (row.slot, len(row.samples), row.flush, row.last) == (3, 100, False, False)
    assert not stream.ready(CHUNK)


def test_samples_are_floats_between_minus_one_and_one() -> None:
    stream = make()
    stream.audio(0, np.array([-32768, 0, 16384, 32767], "<i2").tobytes(), 0.0)
    stream.end(0.0)
    assert stream.take(CHUNK).samples.tolist() == pytest.approx([-1.0, 0.0, 0.5, 32767 / 32768])


def test_since_is_the_arrival_of_the_chunk_s_last_sample() -> None:
    stream = make()
    stream.audio(0, pcm(150), 1.0)
    stream.audio(150, pcm(50), 2.0)
    stream.audio(200, pcm(100), 3.0)
    waits = []
    while stream.ready(CHUNK):
        waits.append(stream.since(CHUNK))
        stream.take(CHUNK)
    assert waits == [1.0, 2.0, 3.0]
    stream.flush(1, 7.0)
    assert stream.since(CHUNK) == 7.0


def test_a_short_row_is_complete_when_it_is_flushed_or_ended() -> None:
    stream = make()
    stream.audio(0, pcm(50), 1.0)
    stream.flush(1, 5.0)
    assert stream.since(CHUNK) == 5.0
    stream.audio(50, pcm(500), 9.0)
    assert stream.since(CHUNK) == 5.0
    stream.take(CHUNK)
    stream.tokens = ()
    for _ in range(5):
        stream.take(CHUNK)
    stream.audio(550, pcm(50), 10.0)
    stream.end(12.0)
    assert stream.since(CHUNK) == 12.0


def test_a_flush_is_due_when_it_came_whatever_came_with_it() -> None:
    stream = make()
    for token in range(3):
        stream.audio(stream.received, pcm(50), 9.0)
        stream.flush(token, 9.0)
    stream.audio(stream.received, pcm(50), 9.0)
    waits = []
    while stream.ready(CHUNK):
        waits.append(stream.since(CHUNK))
        stream.take(CHUNK)
        stream.tokens = ()
    assert waits == pytest.approx([9.0] * 3, abs=0.01)


def test_who_flushes_often_is_not_taken_for_one_who_sends_ahead() -> None:
    stream, chunk = make(), 16_000
    for token in range(10):
        now = 1.0 + token / 2
        stream.audio(stream.received, pcm(chunk // 2), now)
        stream.flush(token, now)
        stream.take(chunk)
        stream.tokens = ()
        assert not stream.is_ahead(now)


def test_what_is_sent_ahead_is_due_as_it_would_have_been_spoken() -> None:
    """Else a client that sends faster than it speaks would make a worker look late that is not."""
    stream, chunk = make(), 16_000
    stream.audio(0, pcm(4 * chunk), 1.0)
    waits, ahead = [], []
    while stream.ready(chunk):
        waits.append(stream.since(chunk))
        stream.take(chunk)
        ahead.append(stream.is_ahead(1.5))
    assert waits == pytest.approx([1, 1 + 1 / 1.1, 1 + 2 / 1.1, 1 + 3 / 1.1])
    assert ahead == [False, True, True, True]
    # Somebody who speaks on is heard late when they are: from the moment at which it came.
    stream.audio(4 * chunk, pcm(chunk), 9.0)
    assert stream.since(chunk) == 9.0
    stream.take(chunk)
    assert not stream.is_ahead(9.0)


def test_a_replay_has_waited_since_it_last_rode_and_live_audio_since_it_came() -> None:
    """Else it would count as overdue all the time, and go before those who speak now."""
    stream = make(start=1000, replay_until=1250)
    stream.audio(1000, pcm(400), 1.0)
    waits, timed = [], []
    for now in (2.0, 3.0, 4.0, 5.0):
        timed.append(stream.timed)
        waits.append(stream.since(CHUNK))
        stream.take(CHUNK, now=now)
    # The third of them is partly new, and is taken for a replay; the one after it was here at 1.0.
    assert timed == [False, False, False, True]
    assert waits == [1.0, 2.0, 3.0, 1.0]
    assert not stream.is_ahead(1.0)


def test_a_replay_of_recorded_audio_is_timed_by_nobody() -> None:
    stream = make(recorded=True, replay_until=50)
    stream.audio(0, pcm(200), 1.0)
    stream.take(CHUNK)
    assert not stream.timed


def test_recorded_audio_has_waited_since_it_last_rode() -> None:
    stream = make(recorded=True)
    stream.audio(0, pcm(1000), 1.0)
    assert stream.since(CHUNK) == 1.0
    stream.take(CHUNK, 2, 5.0)
    assert stream.since(CHUNK) == 5.0
    live = make()
    live.audio(0, pcm(1000), 1.0)
    live.take(CHUNK, 1, 5.0)
    assert live.since(CHUNK) == pytest.approx(1.0, abs=0.01)


def test_a_row_may_hold_several_chunks_but_whole_ones() -> None:
    stream = make()
    stream.audio(0, pcm(350), 0.0)
    assert len(stream.take(CHUNK, 2).samples) == 200
    assert len(stream.take(CHUNK, 2).samples) == 100
    assert not stream.ready(CHUNK)
    stream.audio(350, pcm(300), 0.0)
    stream.flush(7, 0.0)
    stream.audio(650, pcm(30), 0.0)
    stream.end(0.0)
    row = stream.take(CHUNK, 10)
    assert (len(row.samples), row.flush, row.last) == (350, True, False)
    stream.tokens = ()
    row = stream.take(CHUNK, 10)
    assert (len(row.samples), row.last) == (30, True)


def test_a_flush_takes_what_is_there_and_holds_the_stream_until_answered() -> None:
    stream = make()
    stream.audio(0, pcm(130), 0.0)
    stream.flush(7, 0.0)
    stream.audio(130, pcm(300), 0.0)
    assert len(stream.take(CHUNK).samples) == 100
    row = stream.take(CHUNK)
    assert (len(row.samples), row.flush) == (30, True)
    assert stream.tokens == (7,)
    assert not stream.ready(CHUNK)
    stream.tokens = ()
    assert stream.ready(CHUNK)


def test_flushes_at_one_place_are_one_row() -> None:
    stream = make()
    stream.flush(1, 0.0)
    stream.flush(2, 0.0)
    stream.end(0.0)
    row = stream.take(CHUNK)
    assert (len(row.samples), row.flush, row.last, stream.tokens) == (0, True, True, (1, 2))


def test_after_the_last_row_there_is_none() -> None:
    stream = make()
    stream.audio(0, pcm(250), 0.0)
    stream.end(0.0)
    assert [(len(row.samples), row.last) for row in rows(stream)] == [(100, False), (100, False), (50, True)]
    assert not stream.ready(CHUNK)


def test_a_stream_without_audio_still_ends() -> None:
    stream = make(start=500)
    stream.end(0.0)
    assert [(len(row.samples), row.last) for row in rows(stream)] == [(0, True)]


@pytest.mark.parametrize("position", [0, 99, 101])
def test_audio_of_another_position_is_a_gap(position: int) -> None:
    stream = make()
    stream.audio(0, pcm(100), 0.0)
    with pytest.raises(StreamError) as caught:
        stream.audio(position, pcm(10), 0.0)
    assert caught.value.code == "audio_gap"


def test_half_a_sample_and_audio_after_the_end_are_gaps() -> None:
    for spoil in (lambda s: s.audio(0, b"abc", 0.0), lambda s: (s.end(0.0), s.audio(0, pcm(1), 0.0))):
        with pytest.raises(StreamError, match="audio_gap"):
            spoil(make())


def test_more_than_the_window_is_an_overrun_and_progress_makes_room() -> None:
    stream = make()
    stream.audio(0, pcm(WINDOW_SAMPLES), 0.0)
    stream.processed = 10
    stream.audio(WINDOW_SAMPLES, pcm(10), 0.0)
    with pytest.raises(StreamError) as caught:
        stream.audio(WINDOW_SAMPLES + 10, pcm(1), 0.0)
    assert caught.value.code == "audio_overrun"


def test_flushes_are_bounded() -> None:
    stream = make()
    for token in range(MAX_FLUSHES):
        stream.flush(token, 0.0)
    with pytest.raises(StreamError, match="flush_overrun"):
        stream.flush(MAX_FLUSHES, 0.0)


@given(
    st.lists(st.one_of(st.integers(0, 350), st.just("flush")), max_size=30),
    st.integers(0, 10_000),
    st.integers(1, 4),
)
def test_every_sample_and_flush_comes_out_once_and_in_order(
    parts: list[int | str], start: int, chunks: int
) -> None:
    stream = make(start)
    sent: list[int] = []
    marks: list[int] = []
    for number, part in enumerate(parts):
        if isinstance(part, str):
            stream.flush(number, float(number))
            marks.append(len(sent))
        else:
            values = [(len(sent) + offset) % 30_000 for offset in range(part)]
            stream.audio(start + len(sent), np.array(values, "<i2").tobytes(), float(number))
            sent += values
    stream.end(99.0)
    taken = rows(stream, chunks)
    samples = np.concatenate([row.samples for row in taken])
    assert np.round(samples * 32768).astype(int).tolist() == sent
    assert all(len(row.samples) <= chunks * CHUNK for row in taken)
    assert all(len(row.samples) % CHUNK == 0 for row in taken if not row.flush and not row.last)
    assert [row.last for row in taken] == [False] * (len(taken) - 1) + [True]
    ends = np.cumsum([len(row.samples) for row in taken])
    assert sorted(set(marks)) == sorted({int(end) for end, row in zip(ends, taken, strict=True) if row.flush})
    assert stream.taken == stream.received == start + len(sent)


def test_when_audio_arrived_is_known_for_a_while_and_does_not_pile_up() -> None:
    stream = make(start=1000)
    for number in range(10 * REMEMBERED_ARRIVALS):
        stream.audio(stream.received, pcm(CHUNK), float(number))
        stream.audio(stream.received, b"", float(number) + 0.5)
        stream.take(CHUNK)
    last = 10 * REMEMBERED_ARRIVALS - 1
    assert stream.arrival(stream.received) == last
    assert stream.arrival(stream.received - CHUNK + 1) == last
    assert stream.arrival(stream.received - CHUNK) == last - 1
    assert stream.arrival(stream.received + 1) is None
    assert stream.arrival(1001) is None
    stream.audio(stream.received, pcm(CHUNK // 2), 9999.0)
    for _ in range(1000):
        stream.audio(stream.received, b"", 9999.5)
    assert stream.arrival(stream.received) == 9999.0
    assert len(stream._arrivals) + len(stream._past) <= REMEMBERED_ARRIVALS + 1
