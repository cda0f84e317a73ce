"""What every engine promises to the loop. A new engine gets a line in `ENGINES`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
import pytest

from inference_worker.engines.base import Engine, Row, Samples
from inference_worker.engines.moonshine import MoonshineEngine
from inference_worker.engines.moonshine_model import MoonshineModel
from inference_worker.engines.nemo.engine import NemoEngine
from inference_worker.engines.nemo.loading import TINY, load
from inference_worker.engines.scripted import ScriptedEngine
from inference_worker.engines.tests.driving import NOTHING, Heard, chunks, listen, run, settle, step
from tests import recordings, spoken
from wire.messages import SAMPLE_RATE, StreamOptions

SLOTS = 4
MS = SAMPLE_RATE // 1000

model = cache(MoonshineModel)


@cache
def nemo_model():
    return load(str(TINY), 1, "float32", "cpu")


ENGINES: dict[str, Callable[[], Engine]] = {
    "moonshine": lambda: MoonshineEngine(SLOTS, model=model()),
    "nemo": lambda: NemoEngine(nemo_model(), SLOTS),
    "scripted": lambda: ScriptedEngine(max_streams=SLOTS),
}


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    made = ENGINES[request.param]()
    yield made
    made.shut_down()


@pytest.fixture
def speech(engine: Engine) -> Samples:
    return speech_for(engine.info.name)


def speech_for(engine: str) -> Samples:
    """A few short sentences with pauses, such as the engine understands."""
    return spoken.some(4) if engine == "nemo" else recordings.samples("beckett.wav")


@pytest.fixture
def plain(engine: Engine) -> Heard:
    """What another one of its kind says to the same speech, alone and undisturbed."""
    return undisturbed(engine.info.name)


@cache
def undisturbed(engine: str, **options: object) -> Heard:
    other = ENGINES[engine]()
    try:
        return listen(other, speech_for(engine), **options)
    finally:
        other.shut_down()


def said(heard: Heard) -> list[tuple[str, int, int]]:
    return [(word.text, word.start_ms, word.end_ms) for final in heard.finals for word in final.words]


def test_it_says_what_it_is(engine: Engine) -> None:
    info = engine.info
    assert info.name
    assert info.model
    assert info.languages
    assert SAMPLE_RATE // 50 <= info.chunk_samples <= SAMPLE_RATE
    assert info.max_batch >= 1
    assert info.max_streams == SLOTS


@pytest.mark.parametrize("more", [-1, 0, 1])
@pytest.mark.parametrize("whole", [0, 1, 7])
def test_all_audio_is_processed_exactly_whatever_its_length(
    engine: Engine, speech: Samples, whole: int, more: int
) -> None:
    length = max(0, whole * engine.info.chunk_samples + more)
    heard = listen(engine, speech[:length])
    last = heard.outputs[-1]
    assert (last.processed, last.confirmed, last.flushed) == (length, length, True)
    assert sum(output.flushed for output in heard.outputs) == 1


def test_the_watermarks_never_go_back_nor_past_the_audio(engine: Engine, speech: Samples) -> None:
    heard = undisturbed(engine.info.name, interim_results=True)
    marks = [(output.processed, output.confirmed) for output in heard.outputs]
    assert all(confirmed <= processed <= len(speech) for processed, confirmed in marks)
    assert [processed for processed, _ in marks] == sorted(processed for processed, _ in marks)
    assert [confirmed for _, confirmed in marks] == sorted(confirmed for _, confirmed in marks)


def test_it_tells_where_speech_ended_in_time_for_whoever_waits_for_a_pause(
    engine: Engine, speech: Samples
) -> None:
    pause = SAMPLE_RATE
    for endpointing_ms in (None, 0, 4000):
        audio = np.concatenate([speech[: 5 * SAMPLE_RATE], np.zeros(5 * SAMPLE_RATE, np.float32)])
        heard = listen(engine, audio, endpointing_ms=endpointing_ms)
        word_end = 0
        for output in heard.outputs:
            assert 0 <= output.speech_end <= output.processed
            final_words = [word for final in output.hypotheses for word in final.words]
            word_end = max([word_end, *(word.end_ms * MS for word in final_words)])
            # Whoever hears a pause now has all words before it, and all of them at most a pause late.
            if output.speech_end and output.processed - max(output.speech_end, word_end) >= pause:
                quiet = output.processed - max(output.speech_end, word_end)
                later = heard.outputs[heard.outputs.index(output) + 1 :]
                words = [word for one in later for h in one.hypotheses for word in h.words]
                assert all(word.start_ms * MS >= output.processed - quiet for word in words)
        last = heard.outputs[-1]
        if engine.info.name != "scripted":  # which hears its script in silence, too
            assert last.processed - max(last.speech_end, word_end) > 4 * SAMPLE_RATE
        assert word_end
        assert any(0 < output.speech_end < output.processed for output in heard.outputs)


@pytest.mark.parametrize("endpointing_ms", [None, 300, 0])
def test_speech_starts_once_before_its_words_and_ends_once_after_them(
    engine: Engine, speech: Samples, endpointing_ms: int | None
) -> None:
    second = np.zeros(SAMPLE_RATE, np.float32)
    engine.open(0, StreamOptions(endpointing_ms=endpointing_ms), 0)
    heard: dict[int, Heard] = {}
    for row in chunks(0, np.concatenate([second, speech, second]), engine.info.chunk_samples):
        step(engine, [row], heard)
        settle(engine, heard)  # as with audio that comes at the pace of speech
    kinds: list[str] = []
    for output in heard[0].outputs:
        kinds += ["starts"] if output.speech_started_ms is not None else []
        for final in output.hypotheses:
            kinds += ["words"] * bool(final.words) + ["ends"] * final.speech_final
    heard_in_silence = engine.info.name == "scripted"
    if not heard_in_silence:
        assert next(o.speech_started_ms for o in heard[0].outputs if o.speech_started_ms is not None) >= 900
    utterances = " ".join(kinds).split("ends")
    if endpointing_ms == 0 and not heard_in_silence:
        assert kinds[0] == "starts"
        assert "ends" not in kinds  # no pause ends an utterance
        return
    assert len(utterances) > 3
    assert all(u.split()[0] == "starts" and set(u.split()[1:]) == {"words"} for u in utterances[:-1])


def test_audio_is_confirmed_only_once_it_is_in_a_final(plain: Heard) -> None:
    confirmed = 0
    for output in plain.outputs:
        for final in output.hypotheses:
            assert final.words[0].start_ms * MS >= confirmed - MS
        confirmed = output.confirmed


def test_words_lie_in_their_final_and_times_never_go_back(engine: Engine, speech: Samples) -> None:
    heard = undisturbed(engine.info.name, interim_results=True)
    assert heard.text
    before = 0
    for final in heard.finals:
        assert before <= final.start_ms <= final.end_ms <= len(speech) // MS
        for word in final.words:
            assert final.start_ms <= word.start_ms <= word.end_ms <= final.end_ms
            assert word.start_ms >= before
            assert 0 < word.confidence <= 1
            assert word.text
            assert not any(character.isspace() for character in word.text)
            before = word.end_ms


def test_a_stream_that_began_elsewhere_keeps_its_positions(
    engine: Engine, speech: Samples, plain: Heard
) -> None:
    there = listen(engine, speech, start=100 * SAMPLE_RATE)
    assert there.outputs[-1].processed == 100 * SAMPLE_RATE + len(speech)
    assert min(output.confirmed for output in there.outputs) >= 100 * SAMPLE_RATE
    if engine.info.name != "scripted":  # what that says depends on the position
        assert said(there) == [(text, start + 100_000, end + 100_000) for text, start, end in said(plain)]


def test_without_interim_results_there_are_finals_alone_and_the_same(engine: Engine, plain: Heard) -> None:
    assert not plain.partials
    assert said(plain) == said(undisturbed(engine.info.name, interim_results=True))


def test_recorded_audio_in_long_rows_is_heard_like_any_other(
    engine: Engine, speech: Samples, plain: Heard
) -> None:
    size = engine.info.chunk_samples
    engine.open(0, StreamOptions(recorded=True), 0)
    assert engine.info.bulk_chunks > 1
    heard = run(engine, chunks(0, speech, engine.info.bulk_chunks * size))
    assert [final.words for final in heard.finals] == [final.words for final in plain.finals]
    assert heard.outputs[-1].processed == len(speech)


def test_a_flush_is_answered_once_with_its_finals_before_it(engine: Engine, speech: Samples) -> None:
    size = engine.info.chunk_samples
    rows = [row for row in chunks(0, speech, size) if not row.last]
    cut = len(rows) // 3
    marked = [
        *rows[:cut],
        Row(0, NOTHING, flush=True),
        Row(0, NOTHING, flush=True),
        *rows[cut : 2 * cut],
        Row(0, rows[2 * cut].samples[: size // 2], flush=True),
        Row(0, NOTHING, flush=True, last=True),
    ]
    engine.open(0, StreamOptions(), 0)
    heard = run(engine, marked)
    flushes = [output for output in heard.outputs if output.flushed]
    positions = [cut * size, cut * size, 2 * cut * size + size // 2, 2 * cut * size + size // 2]
    assert [output.processed for output in flushes] == positions
    assert [output.confirmed for output in flushes] == positions
    # Nothing that was said before a flush comes after it.
    for flush in flushes:
        later = heard.outputs[heard.outputs.index(flush) + 1 :]
        starts = [word.start_ms for output in later for h in output.hypotheses for word in h.words]
        if engine.info.name != "scripted":  # which has words that end after the flush
            assert all(start * MS >= flush.processed - MS for start in starts)


def test_a_reused_slot_shows_nothing_of_the_stream_before(
    engine: Engine, speech: Samples, plain: Heard
) -> None:
    engine.open(0, StreamOptions(interim_results=True), 0)
    for row in list(chunks(0, speech, engine.info.chunk_samples))[:20]:
        engine.step([row])
    engine.close(0)
    engine.open(0, StreamOptions(interim_results=True), 0)
    heard = run(engine, chunks(0, np.zeros(4000, np.float32), engine.info.chunk_samples))
    assert heard.hypotheses == []
    assert heard.outputs[-1].processed == 4000
    assert all(output.speech_started_ms is None for output in heard.outputs)
    engine.close(0)
    assert said(listen(engine, speech)) == said(plain)


def test_streams_in_one_batch_do_not_change_one_another(
    engine: Engine, speech: Samples, plain: Heard
) -> None:
    others = (speech[SAMPLE_RATE:], speech[::-1].copy())
    alone = [plain, *(listen(engine, audio) for audio in others)]
    waiting = {
        slot: list(chunks(slot, audio, engine.info.chunk_samples))
        for slot, audio in enumerate((speech, *others))
    }
    for slot in waiting:
        engine.open(slot, StreamOptions(interim_results=True), 0)
    heard: dict[int, Heard] = {}
    while any(waiting.values()):
        step(engine, [rows.pop(0) for rows in waiting.values() if rows], heard)
    settle(engine, heard)
    assert [said(heard[slot]) for slot in waiting] == [said(one) for one in alone]


def test_a_step_without_rows_and_another_warm_up_change_nothing(
    engine: Engine, speech: Samples, plain: Heard
) -> None:
    assert engine.step([]).outputs == []
    engine.warm_up()
    engine.open(0, StreamOptions(), 0)
    heard: dict[int, Heard] = {}
    for number, row in enumerate(chunks(0, speech, engine.info.chunk_samples)):
        step(engine, [row], heard)
        step(engine, [], heard)
        if number == 10:
            engine.warm_up()
    settle(engine, heard)
    assert said(heard[0]) == said(plain)


def test_a_slot_may_be_closed_in_any_state(engine: Engine, speech: Samples) -> None:
    engine.close(0)
    engine.open(0, StreamOptions(), 0)
    engine.close(0)
    engine.close(0)
    engine.open(0, StreamOptions(interim_results=True), 0)
    for row in chunks(0, speech[: 2 * SAMPLE_RATE], engine.info.chunk_samples):
        engine.step([row])
    engine.close(0)
    while engine.backlog:
        assert engine.step([]).outputs == []


def test_openings_and_closings_leave_it_as_it_was(engine: Engine, speech: Samples) -> None:
    few = speech[: 6 * SAMPLE_RATE]
    before = said(listen(engine, few))
    loud = np.full(engine.info.chunk_samples, 0.1, np.float32)
    for _ in range(50):
        for slot in range(SLOTS):
            engine.open(slot, StreamOptions(), 0)
        engine.step([Row(slot, loud) for slot in range(SLOTS)])
        for slot in range(SLOTS):
            engine.close(slot)
    assert before
    for slot in range(SLOTS):
        assert said(listen(engine, few, slot=slot)) == before
