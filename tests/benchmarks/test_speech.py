from __future__ import annotations

import numpy as np
import pytest

from tests import recordings
from tests.benchmarks import speech


def burst(seconds: float) -> np.ndarray:
    return np.sin(np.arange(int(seconds * speech.RATE)) * 0.2).astype(np.float32) * 0.5


def quiet(seconds: float) -> np.ndarray:
    return np.zeros(int(seconds * speech.RATE), np.float32)


def test_speech_is_cut_at_pauses_and_nowhere_else() -> None:
    heard = np.concatenate(
        [quiet(0.5), burst(1.2), quiet(0.1), burst(1.0), quiet(0.4), burst(1.5), quiet(1.0)]
    )
    found = [(first / speech.RATE, last / speech.RATE) for first, last in speech.utterances(heard)]
    assert found == [pytest.approx((0.5, 2.8), abs=0.02), pytest.approx((3.2, 4.7), abs=0.02)]


def test_a_click_is_no_utterance() -> None:
    assert len(speech.utterances(np.concatenate([burst(2.0), quiet(0.5), burst(0.1)]))) == 1


@pytest.mark.parametrize("nothing", [quiet(0.0), quiet(1.0), quiet(0.001)])
def test_silence_holds_no_utterance(nothing: np.ndarray) -> None:
    assert speech.utterances(nothing) == []


def test_a_conversation_marks_where_its_speech_is() -> None:
    talk = speech.conversation(recordings.samples("two_cities.wav"), recordings.samples("beckett.wav"))
    assert len(talk.utterances) > 12
    assert 38 < talk.speech_s < 54  # of 54 s of recordings with their pauses
    pcm = np.frombuffer(talk.pcm, "<i2").astype(np.float32)
    for utterance, following in zip(talk.utterances, talk.utterances[1:], strict=False):
        assert following.start_s - utterance.end_s == pytest.approx(speech.SILENCE_S + 0.2, abs=0.11)
        said = pcm[int(utterance.start_s * speech.RATE) : int(utterance.end_s * speech.RATE)]
        gap = pcm[int((utterance.end_s + 0.1) * speech.RATE) : int((following.start_s - 0.1) * speech.RATE)]
        assert np.abs(said).mean() > 20 * np.abs(gap).mean()
