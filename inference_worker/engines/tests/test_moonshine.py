from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from inference_worker.engines.base import Row, Samples
from inference_worker.engines.listener import CONTEXT
from inference_worker.engines.moonshine import (
    BULK_CHUNKS,
    CHUNK_S,
    CHUNK_SAMPLES,
    RECORDED_PATIENCE_S,
    MoonshineEngine,
)
from inference_worker.engines.tests.driving import Heard, chunks, listen, run, settle, step
from inference_worker.engines.tests.speech import Timed, Watched, beside_recordings, model, paced, two_cities
from tests import recordings
from wire.messages import SAMPLE_RATE, StreamOptions


@pytest.fixture
def engine() -> Iterator[MoonshineEngine]:
    made = MoonshineEngine(4, model=model())
    yield made
    made.shut_down()


@pytest.mark.parametrize("name", recordings.TEXTS)
def test_real_speech_is_understood(engine: MoonshineEngine, name: str) -> None:
    heard = listen(engine, recordings.samples(name))
    assert recordings.word_error_rate(recordings.TEXTS[name], heard.text) <= 0.15


def test_silence_and_noise_say_nothing(engine: MoonshineEngine) -> None:
    noise = np.random.default_rng(2).normal(0, 0.01, 20 * SAMPLE_RATE).astype(np.float32)
    for audio in (np.zeros(20 * SAMPLE_RATE, np.float32), noise):
        heard = listen(engine, audio, interim_results=True)
        assert heard.hypotheses == []
        assert heard.outputs[-2].confirmed > 19 * SAMPLE_RATE


def test_the_last_word_of_audio_that_ends_abruptly_is_heard(engine: MoonshineEngine) -> None:
    assert listen(engine, two_cities()[: int(3.05 * SAMPLE_RATE)]).text.endswith("times.")


def test_a_flush_finishes_at_once_what_was_said(engine: MoonshineEngine) -> None:
    engine.open(0, StreamOptions(), 0)
    samples = two_cities()[: int(3.05 * SAMPLE_RATE)]
    rows = [*list(chunks(0, samples, CHUNK_SAMPLES))[:-1], Row(0, samples[:0], flush=True)]
    heard = run(engine, rows)
    assert heard.text.startswith("It was the best of")
    assert heard.outputs[-1].flushed


def test_the_final_is_there_as_soon_as_the_pause_is_long_enough() -> None:
    clock = [0.0]
    engine = MoonshineEngine(1, model=model(), clock=lambda: clock[0])
    heard = paced(clock, engine, recordings.samples("beckett.wav"), endpointing_ms=400)
    for output in heard.outputs[:-1]:
        for final in output.hypotheses:
            last_word_end = final.words[-1].end_ms * SAMPLE_RATE // 1000
            assert output.processed - last_word_end < SAMPLE_RATE * 700 // 1000
    engine.shut_down()


def test_no_time_left_costs_partials_and_no_final() -> None:
    engine = MoonshineEngine(1, model=model(), clock=lambda: 0.0)  # so nothing is ever earned
    heard = listen(engine, recordings.samples("beckett.wav"), interim_results=True)
    assert not heard.partials
    assert recordings.word_error_rate(recordings.BECKETT, heard.text) <= 0.15
    engine.shut_down()


def test_recorded_audio_gets_no_partials() -> None:
    clock = [0.0]
    engine = MoonshineEngine(1, model=model(), clock=lambda: clock[0])
    heard = paced(clock, engine, two_cities()[: 9 * SAMPLE_RATE], interim_results=True, recorded=True)
    assert not heard.partials
    assert heard.finals
    engine.shut_down()


def test_the_customer_chooses_what_a_pause_is(engine: MoonshineEngine) -> None:
    samples = recordings.samples("beckett.wav")
    usual, patient, never = (listen(engine, samples, endpointing_ms=ms).finals for ms in (None, 1000, 0))
    assert len(usual) > len(patient)
    assert all(final.speech_final for final in usual)
    assert not any(final.speech_final for final in never[:-1])


def test_a_decoder_that_fails_fails_its_stream_alone() -> None:
    def spoil(samples: Samples) -> None:
        if np.abs(samples).max() > 0.9:
            raise RuntimeError("told to fail, with secret words")

    engine = MoonshineEngine(2, model=Watched(spoil))  # type: ignore[arg-type]
    good = recordings.samples("beckett.wav")
    bad = good * np.float32(0.99 / np.abs(good).max())
    for slot in (0, 1):
        engine.open(slot, StreamOptions(), 0)
    waiting = {slot: list(chunks(slot, audio, CHUNK_SAMPLES)) for slot, audio in enumerate((good, bad))}
    failed: dict[int, str] = {}
    heard = Heard()
    while any(waiting.values()) or engine.backlog:
        result = engine.step([rows.pop(0) for rows in waiting.values() if rows])
        failed |= result.failed
        waiting = {slot: rows for slot, rows in waiting.items() if slot not in failed}
        heard.outputs += [output for output in result.outputs if output.slot == 0]
    assert failed == {1: "engine_failed"}
    assert heard.outputs[-1].flushed
    assert heard.text
    engine.shut_down()


def test_a_step_does_not_wait_for_a_slow_decoder() -> None:
    gate = threading.Event()
    engine = MoonshineEngine(2, parallel=1, model=Watched(lambda _: gate.wait(20)))  # type: ignore[arg-type]
    engine.open(0, StreamOptions(), 0)
    heard: dict[int, Heard] = {}
    for row in chunks(0, two_cities()[: 12 * SAMPLE_RATE], CHUNK_SAMPLES):
        step(engine, [row], heard)
    last = heard[0].outputs[-1]
    assert not heard[0].finals
    assert engine.backlog
    # What was not decoded is not billed, so a gateway cannot send without end.
    assert last.processed < 12 * SAMPLE_RATE
    assert last.confirmed < SAMPLE_RATE
    gate.set()
    settle(engine, heard)
    assert heard[0].outputs[-1].flushed
    assert heard[0].outputs[-1].processed == 12 * SAMPLE_RATE
    engine.shut_down()


def test_audio_sent_faster_than_speech_does_not_delay_live_streams() -> None:
    gate, order = threading.Event(), []

    def note(samples: Samples) -> None:
        gate.wait(20)
        order.append("live" if np.abs(samples).max() > 0.2 else "file")

    engine = MoonshineEngine(2, parallel=1, model=Watched(note), clock=lambda: 0.0)  # type: ignore[arg-type]
    file, live = two_cities()[: 20 * SAMPLE_RATE], recordings.samples("beckett.wav")[: 3 * SAMPLE_RATE]
    for slot, audio in ((0, file / 2), (1, live)):
        engine.open(slot, StreamOptions(), 0)
        for row in chunks(slot, audio, CHUNK_SAMPLES):
            engine.step([row])
    gate.set()
    settle(engine, {})
    # The decoder was busy with the file's first utterance; then it is the live stream's turn.
    firsts = [kind for kind, before in zip(order, [None, *order], strict=False) if kind != before]
    assert firsts == ["file", "live", "file"]
    engine.shut_down()


class Gated(Watched):
    """Notes of whom it hears something, by how loud they are, when the gate opens."""

    def __init__(self) -> None:
        super().__init__(self.note)
        self.gate, self.begun, self.order = threading.Event(), threading.Semaphore(0), list[str]()

    def note(self, samples: Samples) -> None:
        self.order.append("live" if np.abs(samples).max() > 0.2 else "file")
        self.begun.release()
        self.gate.wait(20)

    def until_begun(self, more: int = 1) -> None:
        for _ in range(more):
            assert self.begun.acquire(timeout=20)


def feed(engine: MoonshineEngine, slot: int, audio: Samples) -> None:
    for row in chunks(slot, audio, CHUNK_SAMPLES):
        engine.step([row])


def test_recorded_audio_that_was_opened_long_ago_does_not_overtake_live_finals() -> None:
    clock, model = [0.0], Gated()
    engine = MoonshineEngine(2, parallel=1, model=model, clock=lambda: clock[0])  # type: ignore[arg-type]
    file, live = two_cities()[: 20 * SAMPLE_RATE], recordings.samples("beckett.wav")[: 3 * SAMPLE_RATE]
    engine.open(0, StreamOptions(recorded=True), 0)
    clock[0] = 1000.0
    feed(engine, 0, file / 2)
    model.until_begun(1)
    engine.open(1, StreamOptions(), 0)
    feed(engine, 1, live)
    model.gate.set()
    settle(engine, {})
    firsts = [kind for kind, before in zip(model.order, [None, *model.order], strict=False) if kind != before]
    assert firsts == ["file", "live", "file"]
    engine.shut_down()


def test_recorded_audio_has_all_threads_when_nobody_is_live_and_else_leaves_one() -> None:
    for live, threads in ((False, 3), (True, 2)):
        model = Gated()
        engine = MoonshineEngine(4, parallel=3, model=model, clock=lambda: 0.0)  # type: ignore[arg-type]
        if live:
            engine.open(3, StreamOptions(), 0)
        for slot in range(3):
            engine.open(slot, StreamOptions(recorded=True), 0)
            feed(engine, slot, two_cities()[: 4 * SAMPLE_RATE])
        model.until_begun(threads)
        assert len(engine._running) == threads
        model.gate.set()
        settle(engine, {})
        engine.shut_down()


def test_recorded_audio_takes_its_turn_once_its_patience_has_ended() -> None:
    """Live streams that are more than the engine can do hold it up, but not for ever."""
    clock, model = [100.0], Gated()
    engine = MoonshineEngine(4, parallel=1, model=model, clock=lambda: clock[0])  # type: ignore[arg-type]
    live = recordings.samples("beckett.wav")
    engine.open(0, StreamOptions(), 0)
    feed(engine, 0, live)
    model.until_begun(1)
    engine.open(1, StreamOptions(recorded=True), 0)
    feed(engine, 1, two_cities()[: 4 * SAMPLE_RATE] / 2)
    clock[0] += RECORDED_PATIENCE_S + 1
    engine.open(2, StreamOptions(), 0)
    feed(engine, 2, live)
    model.gate.set()
    settle(engine, {})
    assert "live" in model.order[: model.order.index("file")]
    assert "live" in model.order[model.order.index("file") :]
    engine.shut_down()


def test_a_long_recording_is_heard_like_its_pieces_in_the_memory_of_one(engine: MoonshineEngine) -> None:
    gap, size, window = np.zeros(SAMPLE_RATE // 2, np.float32), BULK_CHUNKS * CHUNK_SAMPLES, 30 * SAMPLE_RATE
    audio = np.concatenate([two_cities(), gap, recordings.samples("beckett.wav"), gap])
    engine.open(0, StreamOptions(recorded=True), 0)
    heard: dict[int, Heard] = {0: Heard()}
    listener, sent = engine._listeners[0], 0
    for row in chunks(0, audio, size):
        step(engine, [row], heard)
        sent += len(row.samples)
        while sent - heard[0].outputs[-1].processed > window - size:  # as a gateway waits
            step(engine, [], heard)
        assert listener._tape.end - listener._tape.begin < window
        assert len(listener._to_say) + len(listener._finals) < 30
    settle(engine, heard)
    reference = f"{recordings.TWO_CITIES} {recordings.BECKETT}"
    assert recordings.word_error_rate(reference, heard[0].text) <= 0.06
    finals = heard[0].finals
    assert all(before.end_ms <= after.start_ms for before, after in pairwise(finals))
    assert all(final.words[-1].text[-1] in ".,?!" for final in finals)
    assert heard[0].outputs[-1].processed == len(audio)


@pytest.mark.parametrize("parallel", [1, 2])
def test_recordings_hold_a_final_up_for_one_of_their_pieces_at_most(
    monkeypatch: pytest.MonkeyPatch, parallel: int
) -> None:
    monkeypatch.setattr("inference_worker.engines.moonshine.PATIENCE_S", 0)
    model, late = Timed(0.3), []
    engine = MoonshineEngine(16, parallel=parallel, model=model, clock=lambda: model.clock[0])  # type: ignore[arg-type]
    audio = two_cities()[: 15 * SAMPLE_RATE]
    for at, output in model.pace(engine, beside_recordings(engine, audio, 4)):
        # Never more than there are threads: what waits in the pool cannot be overtaken by a final.
        assert len(engine._running) <= parallel
        late += [
            at - final.end_ms / 1000 for final in output.hypotheses if final.is_final and output.slot == 0
        ]
    assert len(late) >= 3
    # The pause that ends an utterance, less what is kept of it, then a piece that is under way and the final.
    assert max(late) <= 0.3 + 0.3 + 0.3 + 2 * CHUNK_S
    engine.shut_down()


def test_recorded_audio_costs_live_streams_no_partials() -> None:
    clock = [0.0]
    engine = MoonshineEngine(2, model=model(), clock=lambda: clock[0])
    engine.open(0, StreamOptions(recorded=True), 0)
    feed(engine, 0, two_cities()[: 20 * SAMPLE_RATE])
    settle(engine, {})
    clock[0] += 1
    engine.step([])
    assert engine._credit.left
    engine.shut_down()


def test_closing_forgets_what_is_being_decoded() -> None:
    gate = threading.Event()
    engine = MoonshineEngine(1, parallel=1, model=Watched(lambda _: gate.wait(20)))  # type: ignore[arg-type]
    engine.open(0, StreamOptions(), 0)
    for row in chunks(0, recordings.samples("beckett.wav"), CHUNK_SAMPLES):
        engine.step([row])
    engine.close(0)
    engine.open(0, StreamOptions(interim_results=True), 0)
    gate.set()
    heard = run(engine, chunks(0, np.zeros(3000, np.float32), CHUNK_SAMPLES))
    assert heard.hypotheses == []
    engine.shut_down()


class Noting(Watched):
    """Remembers how long the context of each hearing was, and how long the rest."""

    def __init__(self) -> None:
        super().__init__(lambda samples: None)
        self.heard: list[tuple[int, int, int]] = []

    def hear(self, samples: Samples, **how: Any) -> Any:
        context = how["context"]
        self.heard.append((len(context.samples), len(context.tokens), len(samples)))
        return super().hear(samples, **how)


def test_a_final_is_heard_after_the_finals_right_before_it() -> None:
    noting = Noting()
    engine = MoonshineEngine(1, model=noting)  # type: ignore[arg-type]
    heard = listen(engine, recordings.samples("beckett.wav"))
    # Heard alone, "fail again, fail better" is taken for "fare again, fell better". Processors round a little
    # differently, so one word of the twelve may be wrong.
    assert recordings.word_error_rate(recordings.TEXTS["beckett.wav"], heard.text) < 0.1
    assert noting.heard[0][:2] == (0, 0)
    assert all(0 < before <= CONTEXT and tokens for before, tokens, _ in noting.heard[1:])
    # Only the piece itself is aligned and timed, not its context.
    assert all(later.words[0].start_ms >= earlier.end_ms for earlier, later in pairwise(heard.finals))
    engine.shut_down()


def test_finals_do_not_hold_on_to_those_before_them() -> None:
    engine = MoonshineEngine(1, model=model())
    engine.open(0, StreamOptions(), 0)
    heard: dict[int, Heard] = {}
    for row in chunks(0, recordings.samples("beckett.wav"), CHUNK_SAMPLES):
        step(engine, [row], heard)
    settle(engine, heard)
    finals = engine._listeners[0]._finals
    assert finals
    assert all(job.before == () and len(job.samples) == 0 for job in finals)
    engine.shut_down()


def test_what_was_said_before_by_another_stream_is_no_context() -> None:
    noting = Noting()
    engine = MoonshineEngine(1, model=noting)  # type: ignore[arg-type]
    beckett = recordings.samples("beckett.wav")
    listen(engine, beckett)
    engine.close(0)
    noting.heard.clear()
    listen(engine, beckett[: 2 * SAMPLE_RATE])
    assert noting.heard[0][:2] == (0, 0)
    engine.shut_down()
