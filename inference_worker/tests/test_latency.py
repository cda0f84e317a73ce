from __future__ import annotations

import pytest

from inference_worker.engines.base import Hypothesis, Output
from inference_worker.latency import observe
from inference_worker.streams import REMEMBERED_ARRIVALS, Stream
from inference_worker.telemetry import Telemetry
from wire.messages import SAMPLE_RATE, StreamOptions, Word

CHUNK = SAMPLE_RATE * 160 // 1000


def speaking(
    seconds: float, *, interim: bool = True, recorded: bool = False, replay_until: int = 0
) -> Stream:
    """A chunk each 160 ms, the first here at 0.16; all of it went to the engine."""
    options = StreamOptions(interim_results=interim, recorded=recorded)
    stream = Stream(
        id="s", epoch=1, gateway="g", tenant="acme", options=options, start=0, replay_until=replay_until
    )
    return speaking_on(stream, seconds)


def speaking_on(stream: Stream, until_s: float) -> Stream:
    for number in range(stream.taken // CHUNK, round(until_s / 0.16)):
        stream.audio(number * CHUNK, bytes(2 * CHUNK), (number + 1) * 0.16)
        stream.take(CHUNK)
    return stream


def said(start_ms: int, end_ms: int, *, final: bool = False) -> Hypothesis:
    words = (Word("hi", start_ms, end_ms, 0.9),)
    return Hypothesis(words, start_ms, end_ms, is_final=final, speech_final=final)


def counted(telemetry: Telemetry, name: str) -> tuple[float, float]:
    """How many, and their sum."""
    values = dict(line.split() for line in telemetry.page().decode().splitlines() if line.startswith(name))
    return float(values[f"{name}_count"]), float(values[f"{name}_sum"])


def test_from_the_first_sound_to_the_first_words_once_an_utterance() -> None:
    telemetry, stream = Telemetry(), speaking(0.64)
    # Somebody began at 0.5 s, in the chunk that was here at 0.64.
    observe(stream, Output(0, 0, 0, speech_started_ms=500), 0.70, telemetry)
    observe(stream, Output(0, 0, 0, (said(520, 900),)), 0.94, telemetry)
    observe(stream, Output(0, 0, 0, (said(520, 990),)), 1.20, telemetry)
    assert counted(telemetry, "worker_first_partial_seconds") == (1, pytest.approx(0.30))
    speaking_on(stream, 2.08)
    observe(stream, Output(0, 0, 0, (said(2000, 2100),), speech_started_ms=2000), 2.18, telemetry)
    assert counted(telemetry, "worker_first_partial_seconds") == (2, pytest.approx(0.40))


def test_from_the_last_sound_to_the_final() -> None:
    telemetry, stream = Telemetry(), speaking(2.24)
    observe(stream, Output(0, 0, 0, (said(520, 1440, final=True),)), 2.34, telemetry)
    assert counted(telemetry, "worker_speech_end_to_final_seconds") == (1, pytest.approx(0.90))


def test_only_who_asked_for_partials_waits_for_them() -> None:
    telemetry, stream = Telemetry(), speaking(3.2, interim=False)
    observe(stream, Output(0, 0, 0, (said(520, 900),), speech_started_ms=500), 0.94, telemetry)
    assert counted(telemetry, "worker_first_partial_seconds") == (0, 0)


def test_what_another_worker_has_heard_before_does_not_count() -> None:
    telemetry, stream = Telemetry(), speaking(2.24, replay_until=14 * CHUNK + 1)
    observe(stream, Output(0, 0, 0, (said(520, 1440, final=True),), speech_started_ms=500), 2.34, telemetry)
    assert counted(telemetry, "worker_first_partial_seconds") == (0, 0)
    assert counted(telemetry, "worker_speech_end_to_final_seconds") == (0, 0)
    stream = speaking(2.24, replay_until=14 * CHUNK)
    observe(stream, Output(0, 0, 0, (said(520, 1440, final=True),)), 2.34, telemetry)
    assert counted(telemetry, "worker_speech_end_to_final_seconds")[0] == 1


def test_recorded_audio_and_what_is_forgotten_do_not_count() -> None:
    telemetry = Telemetry()
    for stream in (speaking(3.2, recorded=True), speaking(0.16 * (REMEMBERED_ARRIVALS + 40))):
        output = Output(0, 0, 0, (said(520, 900, final=True),), speech_started_ms=500)
        observe(stream, output, 20.0, telemetry)
    assert counted(telemetry, "worker_first_partial_seconds") == (0, 0)
    assert counted(telemetry, "worker_speech_end_to_final_seconds") == (0, 0)


def test_a_stream_that_moved_here_knows_nothing_of_before() -> None:
    options = StreamOptions(interim_results=True)
    stream = Stream(id="s", epoch=1, gateway="g", tenant="acme", options=options, start=CHUNK * 10)
    stream.audio(CHUNK * 10, bytes(2 * CHUNK), 7.0)
    assert stream.arrival(CHUNK * 10 + 1) == stream.arrival(CHUNK * 11) == 7.0
    assert stream.arrival(CHUNK * 11 + 1) is None


def test_words_of_finals_are_counted_with_how_sure_the_engine_was() -> None:
    """Of recordings, too: a model that hears badly does so of both."""
    telemetry, stream = Telemetry(), speaking(3.2, recorded=True)
    observe(stream, Output(0, 0, 0, (said(520, 900),)), 0.94, telemetry)
    observe(
        stream, Output(0, 0, 0, (said(520, 990, final=True), said(990, 1200, final=True))), 1.2, telemetry
    )
    assert counted(telemetry, "worker_word_confidence") == (2, pytest.approx(1.8))


def test_nobody_waits_for_what_was_sent_ahead() -> None:
    telemetry, options = Telemetry(), StreamOptions(interim_results=True)
    stream = Stream(id="s", epoch=1, gateway="g", tenant="acme", options=options, start=0)
    stream.audio(0, bytes(2 * 20 * CHUNK), 1.0)
    for _ in range(20):
        stream.take(CHUNK)
    observe(stream, Output(0, 0, 0, speech_started_ms=500), 1.2, telemetry)
    observe(stream, Output(0, 0, 0, (said(520, 1440, final=True),)), 1.3, telemetry)
    assert counted(telemetry, "worker_first_partial_seconds") == (0, 0)
    assert counted(telemetry, "worker_speech_end_to_final_seconds") == (0, 0)
