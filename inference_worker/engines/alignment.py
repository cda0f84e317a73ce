"""When each word was said: an estimate, since the model says what was said and not when.

Words share the voiced part of an utterance by their length in letters; boundaries go where it is quiet, the
more so where the text has a comma or a full stop. Start times grow, words do not overlap, all lie inside.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from inference_worker.engines.base import Samples
from inference_worker.engines.endpointing import Window
from wire.messages import SAMPLE_RATE

FRAME = SAMPLE_RATE * 20 // 1000
LETTERS_MORE = 1.5  # a word of one letter still takes time
LOUD_COST, PAUSE_GAIN, STOP_GAIN = 0.3, 0.6, 2.0
LONG_PAUSE_FRAMES = 12
LONGEST_WORD_FRAMES = 75
STOPS = ".,;:?!"
SWALLOWED = 0.6
LITTLE = frozenset(
    "a an and are as at be been for from had has have he her his i in is it its not of on or "  # noqa: SIM905
    "she so some that the their them there they this to us was we were will with you your".split()
)

Floats = NDArray[np.float64]


def align(
    words: Sequence[str], samples: Samples, begin: int, windows: Sequence[Window]
) -> list[tuple[int, int]]:
    """Start and end in milliseconds of each word of the piece that begins at the position `begin`."""
    if not words:
        return []
    frames = max(1, len(samples) // FRAME)
    voiced = _voiced_frames(frames, begin, windows)
    if len(voiced) < 2 * len(words):
        voiced = np.arange(frames)
    if len(voiced) < len(words):
        boundaries: Floats = np.linspace(0, frames, len(words) + 1)
        starts, ends = boundaries[:-1], boundaries[1:]
    else:
        cuts = _best_cuts(words, _levels(samples, frames)[voiced], _pauses(voiced))
        starts, ends = voiced[cuts[:-1]].astype(np.float64), voiced[cuts[1:] - 1].astype(np.float64) + 1
    to_ms = FRAME * 1000 / SAMPLE_RATE
    offset = begin * 1000 / SAMPLE_RATE
    return [
        (int(offset + start * to_ms), int(offset + end * to_ms))
        for start, end in zip(starts, ends, strict=True)
    ]


def _weight(word: str) -> float:
    """How long it takes to say, in letters. The little words of every sentence are swallowed."""
    letters = len(word.strip(STOPS)) + LETTERS_MORE
    return letters * SWALLOWED if word.lower() in LITTLE else letters


def _voiced_frames(frames: int, begin: int, windows: Sequence[Window]) -> NDArray[np.intp]:
    voiced = np.zeros(frames, bool)
    for window in windows:
        if window.speech:
            voiced[max(0, (window.begin - begin) // FRAME) : max(0, -((begin - window.end) // FRAME))] = True
    return np.flatnonzero(voiced)


def _levels(samples: Samples, frames: int) -> Floats:
    """Loudness of each frame, 0 for the quietest and 1 for the loudest."""
    usable = samples[: frames * FRAME]
    if len(usable) < FRAME:
        return np.zeros(frames)
    power = np.square(usable.reshape(frames, FRAME), dtype=np.float64).mean(axis=1)
    decibels = 10 * np.log10(power + 1e-8)
    low, high = np.percentile(decibels, 5), np.percentile(decibels, 95)
    return np.asarray(np.clip((decibels - low) / max(high - low, 6.0), 0, 1))


def _pauses(voiced: NDArray[np.intp]) -> Floats:
    """Before each voiced frame: how long it was silent, 1 for long."""
    gaps = np.diff(voiced, prepend=voiced[0]) - 1
    return np.asarray(np.clip(gaps / LONG_PAUSE_FRAMES, 0, 1), dtype=np.float64)


def _best_cuts(words: Sequence[str], levels: Floats, pauses: Floats) -> NDArray[np.intp]:
    """Cheapest way to cut the voiced frames in one stretch a word (dynamic programming over boundaries)."""
    count = len(levels)
    weights = np.array([_weight(word) for word in words])
    expected = weights * count / weights.sum()
    longest = int(min(count, max(LONGEST_WORD_FRAMES, 3 * expected.max())))
    durations = np.arange(1, longest + 1)
    # A cut before frame k costs what is loud there and gains where it was silent.
    at_cut = LOUD_COST * (levels + np.roll(levels, 1)) / 2 - PAUSE_GAIN * np.sqrt(pauses)
    best = np.full(count + 1, np.inf)
    best[0] = 0.0
    came_from = np.zeros((len(words), count + 1), np.intp)
    for number, word in enumerate(words):
        ends = np.arange(count + 1)
        starts = ends[:, None] - durations[None, :]
        shape = np.log(durations / expected[number]) ** 2
        costs = np.where(starts >= 0, best[np.maximum(starts, 0)] + shape, np.inf)
        choice = costs.argmin(axis=1)
        best = costs[ends, choice]
        came_from[number] = ends - durations[choice]
        if number < len(words) - 1:
            stops = word[-1:] in STOPS
            best[:count] += at_cut + (STOP_GAIN * (1 - np.sqrt(pauses)) if stops else 0)
    cuts = np.zeros(len(words) + 1, np.intp)
    cuts[-1] = count
    for number in range(len(words) - 1, -1, -1):
        cuts[number] = came_from[number][cuts[number + 1]]
    return cuts
