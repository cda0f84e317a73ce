"""Real speech as a conversation has it: utterances with silence between, whose ends are known.

The recordings are cut where the speaker pauses, by energy alone, so the reference owes nothing to the
engine under test. An utterance ends at its last loud frame; that is the moment its final is waited for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RATE = 16_000
FRAME = RATE // 100  # 10 ms
QUIET_BELOW_PEAK_DB = 26.0
PAUSE_S = 0.25
SHORTEST_S = 1.0
CLICK_S = 0.35  # what is loud for less is a click or a breath, not speech
EDGE = RATE // 10
SILENCE_S = 1.5
# The noise of a quiet room: digital silence is something no microphone sends.
ROOM_NOISE = 0.0003

Samples = NDArray[np.float32]


@dataclass(frozen=True)
class Utterance:
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Conversation:
    pcm: bytes  # 16 kHz linear16
    utterances: tuple[Utterance, ...]

    @property
    def seconds(self) -> float:
        return len(self.pcm) / 2 / RATE

    @property
    def speech_s(self) -> float:
        return sum(u.end_s - u.start_s for u in self.utterances)


def loud_frames(samples: Samples) -> NDArray[np.bool_]:
    """For every 10 ms, whether it is within `QUIET_BELOW_PEAK_DB` of the loudest."""
    whole = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME)
    power = (whole.astype(np.float64) ** 2).mean(axis=1)
    if not power.size or power.max() == 0:
        return np.zeros(power.size, np.bool_)
    return np.asarray(power > power.max() * 10 ** (-QUIET_BELOW_PEAK_DB / 10), np.bool_)


def utterances(samples: Samples) -> list[tuple[int, int]]:
    """Runs of speech, as first and past-the-last sample: cut at pauses, but never shorter than a second."""
    loud = np.flatnonzero(loud_frames(samples))
    runs: list[tuple[int, int]] = []
    for frame in loud.tolist():
        new = not runs or (
            frame - runs[-1][1] >= PAUSE_S * 100 and runs[-1][1] - runs[-1][0] >= SHORTEST_S * 100
        )
        if new:
            runs.append((frame, frame + 1))
        else:
            runs[-1] = (runs[-1][0], frame + 1)
    return [(first * FRAME, last * FRAME) for first, last in runs if last - first >= CLICK_S * 100]


def conversation(*recordings: Samples) -> Conversation:
    """Every utterance of the recordings in order, each followed by `SILENCE_S`."""
    noise = np.random.default_rng(7)
    parts: list[Samples] = []
    marks: list[Utterance] = []
    position = 0

    def add(part: Samples) -> None:
        nonlocal position
        parts.append(part)
        position += len(part)

    def silence() -> Samples:
        return (noise.standard_normal(int(SILENCE_S * RATE)) * ROOM_NOISE).astype(np.float32)

    add(silence())
    for recording in recordings:
        for first, last in utterances(recording):
            # The soft ends of words are kept, too; what is waited for is still the last loud frame.
            begin = max(0, first - EDGE)
            start = position + first - begin
            marks.append(Utterance(start / RATE, (start + last - first) / RATE))
            add(recording[begin : last + EDGE])
            add(silence())
    whole = np.clip(np.rint(np.concatenate(parts) * 32768), -32768, 32767).astype("<i2")
    return Conversation(whole.tobytes(), tuple(marks))
