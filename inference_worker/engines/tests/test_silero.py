from __future__ import annotations

import numpy as np

from inference_worker.engines.silero import WINDOW, SpeechDetector
from tests import recordings


def windows(name: str, seconds: int) -> list[np.ndarray]:
    samples = recordings.samples(name)[: seconds * 16_000]
    return [samples[at : at + WINDOW] for at in range(0, len(samples) - WINDOW + 1, WINDOW)]


def test_speech_is_told_from_silence_and_noise() -> None:
    detector = SpeechDetector(2)
    noise = np.random.default_rng(0).normal(0, 0.02, 100 * WINDOW).astype(np.float32)
    chances = [
        detector.probabilities([(0, speech), (1, noise[at * WINDOW : (at + 1) * WINDOW])])
        for at, speech in enumerate(windows("two_cities.wav", 3))
    ]
    assert max(chance[0] for chance in chances) > 0.95
    assert np.mean([chance[0] for chance in chances[15:]]) > 0.5
    assert max(chance[1] for chance in chances) < 0.5


def test_slots_do_not_change_one_another() -> None:
    together, alone = SpeechDetector(3), SpeechDetector(1)
    first, second = windows("two_cities.wav", 2), windows("beckett.wav", 2)
    for at, (a, b) in enumerate(zip(first, second, strict=True)):
        rows = [(2, a), (0, b)] if at % 2 else [(0, b), (1, b), (2, a)]
        chances = dict(zip((slot for slot, _ in rows), together.probabilities(rows), strict=True))
        assert chances[2] == alone.probabilities([(0, a)])[0]


def test_a_reset_slot_is_like_new() -> None:
    detector = SpeechDetector(1)
    audio = windows("beckett.wav", 2)
    first = [float(detector.probabilities([(0, window)])[0]) for window in audio]
    detector.reset(0)
    assert [float(detector.probabilities([(0, window)])[0]) for window in audio] == first
