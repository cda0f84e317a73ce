"""What is the nemo engine's own; what every engine promises is in engines/tests/test_contract.py."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from inference_worker import engines
from inference_worker.engines.base import EngineOutOfMemory, EngineStartError, Row
from inference_worker.engines.nemo import engine as engine_module
from inference_worker.engines.nemo import recogniser
from inference_worker.engines.nemo.engine import MOST_ROWS, NemoEngine
from inference_worker.engines.nemo.graphs import Compute, Floats, Integers
from inference_worker.engines.nemo.recogniser import Computed
from inference_worker.engines.nemo.tests import tiny
from inference_worker.engines.nemo.writes import Writes
from inference_worker.engines.tests.driving import NOTHING, Heard, listen, step
from tests import recordings, spoken
from wire.messages import SAMPLE_RATE, StreamOptions

CHUNK = 2560


def said(heard: Heard) -> list[tuple[str, int, int]]:
    """Without confidences, whose last bits depend on the size of the batch."""
    return [(word.text, word.start_ms, word.end_ms) for word in tiny.words(heard)]


def test_a_step_that_runs_out_of_memory_can_be_given_again(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = tiny.engine()
    expected = tiny.words(listen(engine, spoken.some(2)))
    assert expected
    rows = [spoken.some(2)[at : at + CHUNK] for at in range(0, len(spoken.some(2)), CHUNK)]
    engine.open(0, StreamOptions(), 0)
    heard: dict[int, Heard] = {}
    for number, samples in enumerate(rows):
        row = Row(0, samples, last=number == len(rows) - 1)
        fails = (engine._recogniser._encoder, engine._recogniser._decoder) if number % 5 == 1 else ()
        for part in fails:
            with monkeypatch.context() as patch:  # before anything is computed, and after most of it was
                patch.setattr(part, "step", tiny.out_of_memory)
                with pytest.raises(EngineOutOfMemory):
                    engine.step([row])
        step(engine, [row], heard)
    assert tiny.words(heard[0]) == expected


def test_a_long_row_goes_on_in_halves_where_memory_runs_out_in_the_middle(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = tiny.engine()
    audio = {slot: spoken.some(1, slot)[: 8 * CHUNK] for slot in range(1, 4)}
    expected = tiny.hear(engine, audio, recorded=True)
    calls, real = 0, engine._recogniser.step

    def limited(chunks: list[recogniser.Chunk]) -> object:
        nonlocal calls
        calls += 1
        return tiny.out_of_memory() if calls > 1 and len(chunks) > 1 else real(chunks)

    monkeypatch.setattr(engine._recogniser, "step", limited)
    for slot in audio:
        engine.open(slot, StreamOptions(recorded=True), 0)
    heard: dict[int, Heard] = {}
    step(engine, [Row(slot, samples, last=True) for slot, samples in audio.items()], heard)
    assert all(said(heard[slot]) == said(expected[slot]) for slot in audio)
    assert calls > 8


def test_of_long_rows_only_the_one_fails_that_cannot_be_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = tiny.engine()
    audio = {slot: spoken.some(1, slot)[: 8 * CHUNK] for slot in range(1, 6)}
    expected = tiny.hear(engine, audio, recorded=True)
    real, calls = engine._recogniser.step, 0

    def poisoned(chunks: list[recogniser.Chunk]) -> object:
        nonlocal calls
        calls += 1
        if calls > 3 and any(chunk.slot == 4 for chunk in chunks):
            raise RuntimeError("illegal memory access, says the test")
        return real(chunks)

    monkeypatch.setattr(engine._recogniser, "step", poisoned)
    for slot in audio:
        engine.open(slot, StreamOptions(recorded=True), 0)
    result = engine.step([Row(slot, samples, last=True) for slot, samples in audio.items()])
    assert result.failed == {4: "engine_failed"}
    heard = {output.slot: Heard([output]) for output in result.outputs}
    assert sorted(heard) == [1, 2, 3, 5]
    assert all(said(heard[slot]) == said(expected[slot]) for slot in heard)


def test_a_fault_in_the_middle_of_a_batch_costs_no_other_stream_a_word(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A step that raises has changed nothing, so the worker gives the rows again, without the guilty one."""
    engine = tiny.engine()
    assert engine.info.atomic
    audio = {slot: spoken.some(1, slot) for slot in range(5)}
    expected = tiny.hear(engine, audio)
    real = engine._recogniser._decoder.step

    def poisoned(writes: Writes, *given: object) -> object:
        result = real(writes, *given)
        if 3 in writes.slots.tolist():
            raise RuntimeError("says the test, when all has been computed")
        return result

    for slot in audio:
        engine.open(slot, StreamOptions(), 0)
    heard: dict[int, Heard] = {}
    for begin in range(0, max(map(len, audio.values())), CHUNK):
        rows = [
            Row(slot, samples[begin : begin + CHUNK], last=begin + CHUNK >= len(samples))
            for slot, samples in audio.items()
            if begin < len(samples)
        ]
        with monkeypatch.context() as patch:
            patch.setattr(engine._recogniser._decoder, "step", poisoned)
            if any(row.slot == 3 for row in rows):
                with pytest.raises(RuntimeError):
                    engine.step(rows)
        step(engine, rows, heard)
    assert all(said(heard[slot]) == said(expected[slot]) for slot in audio)


@pytest.mark.parametrize("part", ["take", "output"])
def test_a_fault_after_the_model_has_heard_a_step_costs_its_own_stream_alone(
    monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    """It is not raised, for then the others' rows would be given again, and heard twice."""
    engine = tiny.engine()
    audio = {slot: spoken.some(1, slot)[: 8 * CHUNK] for slot in range(3)}
    expected = tiny.hear(engine, audio, recorded=True)
    for slot in audio:
        engine.open(slot, StreamOptions(recorded=True), 0)

    def broken(*_: object) -> None:
        raise RuntimeError("secret words")

    monkeypatch.setattr(engine._listeners[1], part, broken)
    result = engine.step([Row(slot, samples, last=True) for slot, samples in audio.items()])
    assert result.failed == {1: "engine_failed"}
    heard = {output.slot: Heard([output]) for output in result.outputs}
    assert {slot: said(heard[slot]) for slot in heard} == {slot: said(expected[slot]) for slot in (0, 2)}


def test_a_flush_in_the_middle_of_a_chunk_moves_no_word() -> None:
    """The model hears silence up to the end of the chunk; times count only what was sent."""
    engine = tiny.engine()
    first, second = spoken.some(1, 2), spoken.some(1, 3)
    first = first[: len(first) // CHUNK * CHUNK + 700]  # not a whole number of chunks
    audio = np.concatenate([first, second])
    engine.open(0, StreamOptions(), 0)
    heard: dict[int, Heard] = {}
    for begin in range(0, len(first), CHUNK):
        part = first[begin : begin + CHUNK]
        step(engine, [Row(0, part, flush=len(part) < CHUNK)], heard)
    for begin in range(0, len(second), CHUNK):
        part = second[begin : begin + CHUNK]
        step(engine, [Row(0, part, last=len(part) < CHUNK)], heard)
    words = tiny.words(heard[0])
    assert " ".join(word.text for word in words) == spoken.text(2, 2)
    assert heard[0].outputs[-1].processed == len(audio)
    without = tiny.words(listen(engine, audio))
    assert [word.text for word in without] == [word.text for word in words]
    late = [abs(one.start_ms - two.start_ms) for one, two in zip(words, without, strict=True)]
    assert max(late) <= 160


def test_many_flushes_leave_nothing_behind() -> None:
    engine = tiny.engine()
    engine.open(0, StreamOptions(), 0)
    for _ in range(200):
        engine.step([Row(0, tiny.noise(100), flush=True)])
    listener = engine._listeners[0]
    assert len(listener._silences) <= 2
    output = engine.step([Row(0, NOTHING, last=True)]).outputs[0]
    assert (output.processed, output.flushed) == (200 * 100, True)


def take_for_speech(engine: NemoEngine, chance: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the detector hears."""
    real = engine._recogniser.step

    def step_with(chunks: list[recogniser.Chunk]) -> list[recogniser.Sound]:
        return [
            recogniser.Sound(sound.tokens, [(chance, level) for _, level in sound.speech])
            for sound in real(chunks)
        ]

    monkeypatch.setattr(engine._recogniser, "step", step_with)


def test_words_are_final_though_noise_goes_on_that_sounds_like_speech(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The detector always hears somebody speak; the model hears no more words."""
    engine = tiny.engine()
    take_for_speech(engine, 0.99, monkeypatch)
    audio = np.concatenate([spoken.some(1, 2), tiny.noise(3 * SAMPLE_RATE, level=3e-4)])
    heard = listen(engine, audio)
    spoken_until = (len(spoken.some(1, 2)) - SAMPLE_RATE) // 16
    ends = [
        h.end_ms for output in heard.outputs[:-1] for h in output.hypotheses if h.speech_final and h.words
    ]
    assert ends
    assert ends[0] < spoken_until + 1500


def test_words_are_final_though_no_detector_heard_speech(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = tiny.engine()
    take_for_speech(engine, 0.0, monkeypatch)
    audio = np.concatenate([spoken.some(1, 2), np.zeros(3 * SAMPLE_RATE, np.float32)])
    outputs = listen(engine, audio).outputs
    finals = [h for output in outputs[:-1] for h in output.hypotheses if h.is_final]
    assert " ".join(word.text for final in finals for word in final.words) == spoken.text(1, 2)
    assert finals[-1].speech_final


def test_key_terms_change_their_own_stream_and_no_other() -> None:
    engine = tiny.engine()
    audio = spoken.some(2, 2)
    plain = listen(engine, audio)
    strong = ("peter went to the hotel", "the train leaves at nine", "Zürich", "", "  ", "hotel")
    engine.open(0, StreamOptions(), 0)
    engine.open(1, StreamOptions(keyterms=strong), 0)
    engine.open(2, StreamOptions(keyterms=strong), 0)
    heard: dict[int, Heard] = {}
    for begin in range(0, len(audio), CHUNK):
        part = audio[begin : begin + CHUNK]
        step(engine, [Row(slot, part, last=begin + CHUNK >= len(audio)) for slot in (0, 1, 2)], heard)
    assert said(heard[0]) == said(plain)
    assert [w.text for w in tiny.words(heard[1])] == [w.text for w in tiny.words(heard[2])]
    phrases = engine._recogniser.phrases
    assert phrases.number(1) == phrases.number(2) >= 0
    engine.close(1)
    assert phrases.any
    engine.close(2)
    assert not phrases.any
    assert not phrases._trees


def test_a_strong_key_term_is_heard_in_its_stream_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inference_worker.engines.nemo.phrases.STRENGTH", 100.0)
    engine = tiny.engine()
    audio = {slot: spoken.some(1, 3) for slot in (0, 1)}
    expected = [word.text for word in tiny.words(tiny.hear(engine, {0: audio[0]})[0])]
    size = engine.info.chunk_samples
    engine.open(0, StreamOptions(), 0)
    engine.open(1, StreamOptions(keyterms=("peter went to the hotel",)), 0)
    heard: dict[int, Heard] = {}
    for begin in range(0, len(audio[0]), size):
        last = begin + size >= len(audio[0])
        step(engine, [Row(slot, audio[slot][begin : begin + size], last=last) for slot in audio], heard)
    assert [word.text for word in tiny.words(heard[0])] == expected
    assert [word.text for word in tiny.words(heard[1])] != expected


def test_a_slot_that_had_key_terms_has_none_for_the_next_stream() -> None:
    engine = tiny.engine()
    expected = tiny.words(listen(engine, spoken.some(1, 3)))
    listen(engine, spoken.some(1, 3), keyterms=("rabbit", "hotel"))
    assert tiny.words(listen(engine, spoken.some(1, 3))) == expected
    assert engine._recogniser.phrases.number(0) == -1


def test_real_speech_that_it_does_not_know_does_it_no_harm() -> None:
    engine = tiny.engine()
    heard = listen(engine, recordings.samples("two_cities.wav"), interim_results=True)
    assert heard.outputs[-1].flushed
    assert all(len(final.words) < 200 for final in heard.finals)


@pytest.mark.parametrize("level", [0.0, 1.0, 50.0])
def test_odd_audio_is_audio(level: float) -> None:
    engine = tiny.engine()
    samples = np.full(3 * SAMPLE_RATE, level, np.float32) * np.sign(tiny.noise(3 * SAMPLE_RATE))
    outputs = listen(engine, samples.astype(np.float32)).outputs
    assert outputs[-1].processed == len(samples)
    after = listen(engine, spoken.some(1, 3))
    assert after.text == spoken.text(1, 3)


class Pretended:
    """A graph as a GPU has it, of the CPU's: always the same memory, whatever was captured is done again."""

    made: list[int] = []

    def __init__(self, compute: Compute, rows: int, chunk: int) -> None:
        self.samples: Floats = np.zeros((rows, chunk), np.float32)
        self.rows: Integers = np.zeros((3, rows), np.int64)
        self._compute, self._computed = compute, None
        self.made.append(rows)

    def compute(self) -> Computed:
        here = [recogniser.torch.from_numpy(one) for one in (self.samples, self.rows)]
        self._computed = self._compute(here[0], here[1], False)
        return self._computed

    def commit(self) -> None:
        assert self._computed is not None
        self._computed.writes.commit()


def test_with_graphs_of_a_few_sizes_the_words_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pretended, "made", [])
    audio = {slot: spoken.some(1, slot) for slot in range(7)}
    plain = tiny.hear(tiny.engine(), audio)
    engine = tiny.engine(capture=Pretended)
    engine.warm_up()
    assert Pretended.made == [16, 8, 4, 2, 1]
    heard = tiny.hear(engine, audio, tiny.some_of_them(3))
    assert Pretended.made == [16, 8, 4, 2, 1]
    assert all(said(heard[slot]) == said(plain[slot]) for slot in audio)


def test_where_no_graph_can_be_made_it_goes_on_without() -> None:
    def impossible(compute: Compute, rows: int, chunk: int) -> Pretended:
        raise RuntimeError("operation not permitted when stream is capturing")

    engine = tiny.engine(capture=impossible)
    assert listen(engine, spoken.some(1, 3)).text == spoken.text(1, 3)


def test_a_batch_is_never_larger_than_makes_sense() -> None:
    assert tiny.engine(slots=3).info.max_batch == 3
    assert MOST_ROWS >= 256


def test_it_is_made_as_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGINE_THREADS", "1")
    monkeypatch.setenv("DETERMINISTIC", "1")
    made = engines.create("nemo", 8)
    assert (made.info.name, made.info.model, made.info.chunk_samples) == ("nemo", "tiny", CHUNK)
    assert made.info.buckets == (8,)
    monkeypatch.setenv("ATT_RIGHT_CONTEXT", "6")
    monkeypatch.setenv("DETERMINISTIC", "0")
    made = engines.create("nemo", 8)
    assert (made.info.chunk_samples, made.info.buckets) == (7 * CHUNK // 2, tuple(range(1, 9)))


def test_the_deterministic_mode_is_of_whole_floats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DETERMINISTIC", "1")
    monkeypatch.setenv("COMPUTE_DTYPE", "bfloat16")
    with pytest.raises(EngineStartError, match="DETERMINISTIC is on and COMPUTE_DTYPE is bfloat16"):
        engines.create("nemo", 8)


def test_more_streams_than_there_is_memory_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inference_worker.engines.nemo.recogniser.Encoder", tiny.out_of_memory)
    with pytest.raises(EngineStartError, match="MAX_STREAMS is 99, and cpu has no memory for so many"):
        engine_module.create(tiny.loaded(), 99, deterministic=False, threads=1)


def test_while_somebody_speaks_a_partial_comes_every_300_ms() -> None:
    now = [0.0]
    engine = tiny.engine(clock=lambda: now[0])
    audio = spoken.some(1, 2)
    engine.open(0, StreamOptions(interim_results=True), 0)
    said_at, started, words = [], None, 0
    for begin in range(0, len(audio) - CHUNK, CHUNK):
        now[0] += CHUNK / SAMPLE_RATE
        output = engine.step([Row(0, audio[begin : begin + CHUNK])]).outputs[0]
        if output.speech_started_ms is not None:
            started = now[0]
        for hypothesis in output.hypotheses:
            said_at.append(now[0])
            assert hypothesis.is_final or len(hypothesis.words) >= words
            words = 0 if hypothesis.is_final else len(hypothesis.words)
    assert started is not None
    assert said_at[0] - started <= 0.48 + 1e-6  # the model, too, has to hear a word first
    last = next(at for at in reversed(said_at) if at <= (len(audio) - SAMPLE_RATE) / SAMPLE_RATE)
    gaps = [after - before for before, after in itertools.pairwise(said_at) if after <= last]
    assert max(gaps) <= 0.3
