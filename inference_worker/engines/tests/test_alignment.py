from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from inference_worker.engines.alignment import align
from inference_worker.engines.endpointing import Window
from wire.messages import SAMPLE_RATE

RNG = np.random.default_rng(1)


def sounds(*parts: tuple[bool, float]) -> tuple[np.ndarray, list[Window]]:
    """Noise for speech and near silence between, in seconds; and what a perfect detector says of it."""
    samples = np.concatenate(
        [RNG.normal(0, 0.2 if loud else 1e-4, round(length * SAMPLE_RATE)) for loud, length in parts]
    ).astype(np.float32)
    edges = np.cumsum([0, *(round(length * SAMPLE_RATE) for _, length in parts)])
    windows = [
        Window(int(a), int(b), loud, 0.0) for (loud, _), a, b in zip(parts, edges, edges[1:], strict=False)
    ]
    return samples, windows


def test_words_take_the_place_of_the_bursts_they_are() -> None:
    samples, windows = sounds((False, 0.3), (True, 0.4), (False, 0.3), (True, 0.4), (False, 0.5), (True, 0.8))
    times = align(["Fail,", "again.", "Fascinating"], samples, 0, windows)
    for (start, end), (at, until) in zip(times, [(300, 700), (1000, 1400), (1900, 2700)], strict=True):
        assert abs(start - at) <= 40
        assert abs(end - until) <= 40


def test_longer_words_take_longer() -> None:
    samples, windows = sounds((True, 2.0))
    (a, b), (c, d) = align(["extraordinary", "cat"], samples, 0, windows)
    assert b - a > 1.5 * (d - c)


def test_times_count_from_the_stream_s_beginning() -> None:
    samples, windows = sounds((True, 1.0))
    moved = [Window(w.begin + 80_000, w.end + 80_000, w.speech, w.level) for w in windows]
    here, there = align(["one", "two"], samples, 0, windows), align(["one", "two"], samples, 80_000, moved)
    assert [(start + 5000, end + 5000) for start, end in here] == there


def test_no_words_have_no_times() -> None:
    assert align([], np.zeros(1000, np.float32), 0, []) == []


@given(
    st.lists(st.text("abcdefg.,?", min_size=1, max_size=12), min_size=1, max_size=40),
    st.integers(0, 60_000),
    st.lists(st.booleans(), max_size=120),
    st.integers(0, 10**7),
)
def test_times_grow_and_stay_inside_whatever_is_said(
    words: list[str], length: int, voiced: list[bool], begin: int
) -> None:
    samples = RNG.normal(0, 0.1, length).astype(np.float32)
    windows = [Window(begin + 512 * n, begin + 512 * (n + 1), speech, 0.0) for n, speech in enumerate(voiced)]
    times = align(words, samples, begin, windows)
    assert len(times) == len(words)
    flat = [ms for time in times for ms in time]
    assert flat == sorted(flat)
    assert flat[0] >= begin * 1000 // SAMPLE_RATE
    assert flat[-1] <= (begin + max(length, 320)) * 1000 / SAMPLE_RATE + 1
