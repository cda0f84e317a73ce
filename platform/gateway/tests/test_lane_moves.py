"""A lane that goes from worker to worker: nothing of it is lost, said twice or billed twice."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.events import Transcript
from gateway.lane import (
    MAX_FRUITLESS_MOVES,
    MOST_FLUSHES,
    MOST_UNCONFIRMED,
    STALLED_S,
    STALLED_SAMPLES,
    Lane,
)
from gateway.rests import WITHIN as REST_WITHIN
from gateway.tape import FORGET_BYTES
from gateway.tests.driving import words
from gateway.tests.hearer import CHUNK, SECOND, Hearer, final, hear, lane_with, move, talk, texts
from wire.messages import (
    SAMPLE_RATE,
    Ended,
    Final,
    Flush,
    Flushed,
    Partial,
    Progress,
    Word,
)

# ---- what is said of it


def test_what_was_said_is_not_said_again() -> None:
    lane = lane_with(5)
    assert texts(final(lane, 0, "one two three", 1.0)) == ["one two three"]
    move(lane)
    assert final(lane, 0, "one two three", 1.0) == []
    assert texts(final(lane, 1, "four", 3.0)) == ["four"]


def test_a_final_that_goes_on_where_the_other_stopped_is_trimmed() -> None:
    lane = lane_with(5)
    final(lane, 0, "one two", 1.0, speech_final=False)
    move(lane)
    (said,) = final(lane, 0, "one two three four", 1.0)
    assert texts([said]) == ["three four"]
    assert (said.start_ms, said.end_ms, said.speech_final) == (1200, 1390, True)


def test_that_the_speaker_paused_is_said_although_the_words_were() -> None:
    lane = lane_with(5)
    final(lane, 0, "one two", 1.0, speech_final=False)
    move(lane)
    (said,) = final(lane, 0, "one two", 0.98)
    assert (said.words, said.speech_final, said.start_ms, said.end_ms) == ((), True, 1190, 1190)
    assert final(lane, 1, "one two", 0.98) == []  # once


def test_an_earlier_pause_is_not_said_again() -> None:
    lane = lane_with(9)
    final(lane, 0, "one two", 1.0)
    final(lane, 1, "three", 5.0, speech_final=False)
    move(lane)
    assert final(lane, 0, "one two", 1.0) == []
    (said,) = final(lane, 1, "three", 5.0)
    assert said.speech_final


def test_a_final_that_waits_for_its_flush_outlives_its_worker() -> None:
    lane = lane_with(5)
    lane.flush()
    assert final(lane, 0, "one two", 1.0) == []  # it may be the last before the answer
    move(lane)
    assert final(lane, 0, "one two", 1.0) == []
    (said,) = lane.flushed(Flushed(stream="s", epoch=2, token=1))
    assert texts([said]) == ["one two"]
    assert said.from_finalize


def test_partials_are_not_said_before_it_has_caught_up_and_then_without_what_was_final() -> None:
    lane = lane_with(5)
    final(lane, 0, "one two", 1.0, speech_final=False)
    lane.progress(3 * SAMPLE_RATE, SAMPLE_RATE)
    move(lane)
    heard = tuple(Word(w.text, w.start_ms + 1000, w.end_ms + 1000, 0.9) for w in words("one two three"))
    partial = Partial(stream="s", epoch=2, start_ms=1000, end_ms=1290, words=heard)
    assert lane.partial(partial) is None
    lane.progress(3 * SAMPLE_RATE)
    said = lane.partial(partial)
    assert said is not None
    assert ([word.text for word in said.words], said.start_ms) == (["three"], 1200)
    assert lane.partial(Partial(stream="s", epoch=2, start_ms=1000, end_ms=1190, words=heard[:2])) is None


def test_long_after_a_move_finals_are_as_they_come() -> None:
    lane = lane_with(20)
    final(lane, 0, "one", 1.0)
    move(lane)
    final(lane, 0, "one", 1.0)
    assert texts(final(lane, 1, "two", 9.0)) == ["two"]
    (said,) = final(lane, 2, "", 12.0, speech_final=False)
    assert (said.words, said.start_ms) == ((), 12_000)


# ---- what is billed


def test_a_replay_is_not_billed() -> None:
    lane = lane_with(5)
    lane.progress(4 * SAMPLE_RATE)
    lane.bill()
    move(lane)
    lane.progress(2 * SAMPLE_RATE)
    lane.bill()
    lane.progress(5 * SAMPLE_RATE)
    lane.bill()
    assert [(part.from_ms, part.to_ms) for part in lane.usage] == [(0, 4000), (4000, 5000)]


# ---- how often


def test_it_may_be_moved_again_and_again_while_it_gets_on() -> None:
    lane = lane_with(60)
    for second in range(1, 3 * MAX_FRUITLESS_MOVES):
        lane.progress(second * SAMPLE_RATE)
        assert lane.may_move()


def test_it_may_be_moved_so_often_for_nothing() -> None:
    lane = lane_with(5)
    lane.progress(SAMPLE_RATE)
    assert [lane.may_move() for _ in range(MAX_FRUITLESS_MOVES + 1)] == [True] * MAX_FRUITLESS_MOVES + [False]


def test_who_is_silent_may_outlive_any_number_of_workers() -> None:
    """They had done all there was, and died of something else."""
    lane = lane_with(5)
    for _ in range(3 * MAX_FRUITLESS_MOVES):
        lane.progress(5 * SAMPLE_RATE - CHUNK // 2, 5 * SAMPLE_RATE - CHUNK // 2)
        assert lane.may_move()
        move(lane)
        lane.items_to_send()


def test_a_worker_that_does_nothing_of_much_is_found_out() -> None:
    lane = lane_with(1)
    lane.progress(SAMPLE_RATE)
    assert not lane.stalled(0.0)
    assert not lane.stalled(100.0)  # there is nothing to do
    hear(lane, STALLED_SAMPLES // SAMPLE_RATE)
    lane.items_to_send()
    assert not lane.stalled(100.5)
    assert not lane.stalled(100.0 + STALLED_S - 0.1)
    lane.progress(SAMPLE_RATE + CHUNK)
    hear(lane, 1)
    lane.items_to_send()
    assert not lane.stalled(100.0 + STALLED_S)
    assert lane.stalled(100.0 + 2 * STALLED_S)
    move(lane)
    lane.items_to_send()
    assert not lane.stalled(100.0 + 2 * STALLED_S)


@pytest.mark.parametrize("what", ["flush", "end"])
def test_a_worker_that_does_not_answer_is_found_out(what: str) -> None:
    lane = lane_with(1)
    lane.progress(SAMPLE_RATE)
    lane.flush() if what == "flush" else lane.end(1000)
    lane.items_to_send()
    assert not lane.stalled(0.0)
    assert lane.stalled(STALLED_S)


# ---- how much is kept


def most_kept(lane: Lane, hours: float, pause_every_s: int | None) -> int:
    most = index = 0
    for second in range(1, int(hours * 3600)):
        hear(lane, 1)
        lane.items_to_send()
        if second % 10 == 0:
            final(lane, index, "word", second - 5.0, speech_final=bool(pause_every_s))
            index += 1
            lane.progress(second * SAMPLE_RATE, second * SAMPLE_RATE)
            most = max(most, lane.kept_bytes)
    return most


@pytest.mark.parametrize("pause_every_s", [10, None])
def test_memory_is_bounded_with_pauses_and_without(pause_every_s: int | None) -> None:
    lane = Lane("s")
    lane.open_on(1, CHUNK)
    within = 10 + 10 + REST_WITHIN // SAMPLE_RATE + 1  # the lead, an utterance, where to begin
    assert most_kept(lane, 0.5, pause_every_s) <= within * len(SECOND) + FORGET_BYTES
    assert len(lane._rests._rests) < 20


def test_memory_is_bounded_when_nothing_is_ever_confirmed() -> None:
    lane = Lane("s")
    lane.open_on(1, CHUNK)
    for second in range(1, 400):
        hear(lane, 1)
        lane.items_to_send()
        lane.progress(second * SAMPLE_RATE)
    kept = MOST_UNCONFIRMED + 10 * SAMPLE_RATE + REST_WITHIN
    assert lane.kept_bytes <= kept * 2 + FORGET_BYTES


@pytest.mark.parametrize("samples", [0, 16])
def test_flushes_without_end_are_bounded(samples: int) -> None:
    lane = lane_with(1)
    for _ in range(MOST_FLUSHES):
        lane.send_audio(b"\x01\x00" * samples, lane.input_ms + samples // 16)
        for _ in range(3):
            lane.flush()
        lane.items_to_send()
        if samples:
            lane.progress(lane.sent, lane.sent)
        for token in range(lane.flushes_done + 1, lane.flushes_asked + 1):
            lane.flushed(Flushed(stream="s", epoch=1, token=token))
        assert len(lane._flushes) <= MOST_FLUSHES + 3
    move(lane)
    given = [item for item in lane.items_to_send() if isinstance(item, Flush)]
    assert len(given) <= MOST_FLUSHES


# ---- all together


@settings(max_examples=40)
@given(
    sentences=st.lists(st.integers(1, 14), min_size=1, max_size=8),
    lead_s=st.sampled_from([1.0, 3.0, 10.0, 3600.0]),
    seed=st.integers(0, 10_000),
)
def test_whoever_hears_it_when_all_is_said_once(sentences: list[int], lead_s: float, seed: int) -> None:
    """Workers die at any moment, and hear words earlier or later than the one before."""
    chance = random.Random(seed)
    lane = Lane("s", lead_s=lead_s)
    spoken = talk(sentences)
    length_s = spoken[-1].end_ms // 1000 + 2
    lane.open_on(1, CHUNK)
    worker = Hearer(lane, spoken)
    said: list[Transcript] = []
    sent = 0
    for _ in range(5000):
        if sent < length_s and chance.random() < 0.3:
            hear(lane, 1)
            sent += 1
            if chance.random() < 0.05:
                lane.flush()
        elif sent == length_s and not lane.ending:
            lane.end(lane.input_ms)
        worker.take(lane.items_to_send())
        for item in worker.step(chance.randint(0, 12)):
            if isinstance(item, Progress):
                lane.progress(item.processed, item.confirmed)
                lane.bill()
            elif isinstance(item, Final):
                said += lane.final(item)
            elif isinstance(item, Flushed):
                said += lane.flushed(item)
            elif isinstance(item, Ended):
                lane.complete(item)
                said += lane.release()
                lane.bill()
                lane.ended = True
            if chance.random() < 0.002:
                break  # what it says next is lost with it
        else:
            if lane.ended:
                break
            if chance.random() > 0.02:
                continue
        start = move(lane)
        worker = Hearer(lane, spoken, start, shift_ms=chance.randint(-100, 100) if start else 0)
    assert lane.ended
    assert [word.text for final in said for word in final.words] == [word.text for word in spoken]
    starts = [word.start_ms for final in said for word in final.words]
    assert starts == sorted(starts)
    assert sum(part.to_ms - part.from_ms for part in lane.usage) == length_s * 1000
    assert all(one.to_ms == other.from_ms for one, other in itertools.pairwise(lane.usage))
