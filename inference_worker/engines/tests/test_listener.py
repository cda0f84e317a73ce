from __future__ import annotations

import numpy as np
import pytest

from inference_worker.engines.base import Samples
from inference_worker.engines.moonshine import CHUNK_S, CHUNK_SAMPLES, MoonshineEngine
from inference_worker.engines.tests.driving import chunks, settle, step
from inference_worker.engines.tests.speech import Quick, model, paced
from tests import recordings
from wire.messages import SAMPLE_RATE, StreamOptions


@pytest.mark.parametrize("endpointing_ms", [0, 5000])
def test_the_words_are_final_a_second_after_the_last_at_the_latest(endpointing_ms: int) -> None:
    clock = [0.0]
    engine = MoonshineEngine(1, model=model(), clock=lambda: clock[0])
    speech = recordings.samples("beckett.wav")[: 3 * SAMPLE_RATE]
    audio = np.concatenate([speech, np.zeros(6 * SAMPLE_RATE, np.float32)])
    heard = paced(clock, engine, audio, endpointing_ms=endpointing_ms)
    speech_end = heard.outputs[-1].speech_end
    finals = [(output, final) for output in heard.outputs for final in output.hypotheses]
    said = [output.processed for output, final in finals if final.words]
    assert said[-1] <= speech_end + 1.1 * SAMPLE_RATE
    ends = [(output.processed, final.words) for output, final in finals if final.speech_final]
    if endpointing_ms:
        (at, words) = ends[-1]
        assert abs(at - speech_end - 5 * SAMPLE_RATE) <= CHUNK_SAMPLES
        assert words == ()
    else:
        assert not ends
    engine.shut_down()


def noises() -> dict[str, Samples]:
    chance, seconds = np.random.default_rng(2), 10
    white = chance.normal(0, 1, seconds * SAMPLE_RATE).astype(np.float32)
    hum = np.sin(2 * np.pi * 50 * np.arange(len(white)) / SAMPLE_RATE).astype(np.float32)
    clicks = np.zeros(len(white), np.float32)
    clicks[::4001] = 0.9
    brown = np.cumsum(white)
    brown -= np.convolve(brown, np.full(4096, 1 / 4096), "same")
    return {
        "silence": np.zeros(len(white), np.float32),
        "faint": white * np.float32(0.003),
        "loud": white * np.float32(0.1),
        "hum": hum * np.float32(0.3),
        "clicks": clicks,
        "wind": (brown / np.abs(brown).max() * 0.5).astype(np.float32),
    }


@pytest.mark.parametrize("kind", noises())
def test_silence_and_noise_never_reach_the_decoder(kind: str) -> None:
    decoder = Quick([0.0])
    engine = MoonshineEngine(1, model=decoder, clock=lambda: decoder.clock[0])  # type: ignore[arg-type]
    heard = paced(decoder.clock, engine, noises()[kind], interim_results=True)
    assert decoder.calls == 0
    assert heard.hypotheses == []
    assert heard.outputs[-1].speech_end == 0
    engine.shut_down()


def test_the_decoder_rests_once_the_speaker_does() -> None:
    decoder = Quick([0.0])
    engine = MoonshineEngine(1, model=decoder, clock=lambda: decoder.clock[0])  # type: ignore[arg-type]
    speech = recordings.samples("beckett.wav")[: 3 * SAMPLE_RATE]
    engine.open(0, StreamOptions(interim_results=True), 0)
    calls = []
    audio = np.concatenate([speech, np.zeros(20 * SAMPLE_RATE, np.float32)])
    for row in chunks(0, audio, CHUNK_SAMPLES):
        decoder.clock[0] += CHUNK_S
        step(engine, [row], {})
        settle(engine, {})
        calls.append(decoder.calls)
    a_second_later = 4 * SAMPLE_RATE // CHUNK_SAMPLES
    assert calls[a_second_later] > 5
    assert calls[-1] == calls[a_second_later]
    engine.shut_down()
