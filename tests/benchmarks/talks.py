"""What the streams of a crowd say, for each engine, and how long a chunk of that engine is."""

from __future__ import annotations

import numpy as np

from inference_worker.engines import scripted
from tests import spoken
from tests.benchmarks.crowd import PACKET_BYTES, RATE, Talk
from tests.benchmarks.machine import CannotMeasure
from tests.benchmarks.speech import FRAME, loud_frames

FRAME_MS = 80  # of NeMo's encoders with a subsampling of 8
SCRIPTED_S = 120.0


def chunk_ms(engine: str, right: int) -> int:
    if engine not in ("nemo", "scripted"):
        raise CannotMeasure(f"there is no talk for the engine {engine}, only for nemo and scripted")
    if engine == "scripted":
        return scripted.CHUNK_SAMPLES * 1000 // RATE
    return (right + 1) * FRAME_MS


def talk(engine: str) -> Talk:
    return _as_scripted() if engine == "scripted" else _synthesised()


def _synthesised() -> Talk:
    """The clips of the tiny model's domain, with a second of silence between."""
    samples = spoken.recording()
    starts = tuple((clip.start + _first_loud(clip.audio)) / RATE for clip in spoken.clips())
    pcm = (samples * 32_767).astype("<i2").tobytes()
    return Talk(pcm[: len(pcm) // PACKET_BYTES * PACKET_BYTES], starts)


def _first_loud(audio: spoken.Samples) -> int:
    return int(np.flatnonzero(loud_frames(audio))[0]) * FRAME


def _as_scripted() -> Talk:
    """Digital silence: that engine says its script by the stream's own time, whatever it is given."""
    words = scripted.spoken(scripted.SENTENCES)
    period = (words[-1].end_ms + scripted.PAUSE_MS) / 1000
    after = [True, *(word.ends_utterance for word in words)]
    first = [word.start_ms / 1000 for word, begins in zip(words, after, strict=False) if begins]
    starts = [start + number * period for number in range(int(SCRIPTED_S // period)) for start in first]
    return Talk(bytes(int(SCRIPTED_S * RATE) * 2), tuple(starts), all_from_the_first=True)
