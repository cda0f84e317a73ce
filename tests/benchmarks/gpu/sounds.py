"""What the streams say: the recording of the tests, over and over, each from a place of its own."""

from __future__ import annotations

from functools import cache

import numpy as np
import soundfile  # comes with NeMo
from numpy.typing import NDArray

from tests.benchmarks.machine import ROOT

RECORDING = ROOT / "tests" / "spoken.flac"
# No divisor of the recording's length, so that streams do not say the same at the same time.
APART = 37_619
RATE = 16_000


@cache
def recording() -> NDArray[np.int16]:
    samples, _ = soundfile.read(RECORDING, dtype="int16")
    return np.asarray(samples, np.int16)


def pcm(stream: int, begin: int, size: int) -> NDArray[np.int16]:
    """The samples of a stream from a position on."""
    spoken = recording()
    place = (stream * APART + begin) % len(spoken)
    if place + size <= len(spoken):
        return spoken[place : place + size]
    return spoken[(place + np.arange(size)) % len(spoken)]


def floats(streams: int, begin: int, size: int) -> NDArray[np.float32]:
    """[streams, size]"""
    rows = [pcm(stream, begin, size) for stream in range(streams)]
    return np.stack(rows).astype(np.float32) / np.float32(32_768)
